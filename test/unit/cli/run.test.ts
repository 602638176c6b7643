import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { run } from '../../support/cli/context.ts';

const allow = ['run', '--allow', 'net.core.somaxconn'];

void t.test(
  'an address that is taken, and TLS files that are not there, are told before anything is done',
  async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    t.teardown(() => taken.close());
    const { port } = taken.address() as AddressInfo;
    const inUse = await run([...allow, '--listen', `127.0.0.1:${port}`]);
    t.equal(inUse.code, 64);
    t.match(
      inUse.stderr.replaceAll(/\s+/g, ' '),
      `cannot serve metrics on 127.0.0.1:${port}: listen EADDRINUSE`,
    );
    t.match(inUse.stderr, 'next: name a free address with --listen');

    const files = ['--tls-cert-file', '/nonexistent/tls.crt', '--tls-key-file', '/nonexistent/tls.key'];
    const noFile = await run([...allow, '--listen', '127.0.0.1:0', ...files]);
    t.equal(noFile.code, 64);
    t.match(
      noFile.stderr.replaceAll(/\s+/g, ' '),
      "ENOENT: no such file or directory, open '/nonexistent/tls.crt'",
    );
    t.match((await run([...allow, ...files.slice(0, 2)])).stderr, 'belong together');
  },
);

void t.test(
  'scrapers are not asked for their tokens in the clear, nor where nobody can look them up',
  async (t) => {
    const said = async (args: readonly string[], inCluster: boolean): Promise<string> => {
      const { code, stderr } = await run([...allow, '--metrics-authorization', ...args], { inCluster });
      t.equal(code, 64);
      return stderr.replaceAll(/\s+/g, ' ');
    };
    t.match(await said([], true), 'without TLS would have scrapers send their tokens in the clear');
    t.match(await said(['--listen', '10.0.0.1:9877'], true), 'in the clear');
    const alone = await said(['--listen', '127.0.0.1:0'], false);
    t.match(alone, '--metrics-authorization needs an API server');
    t.notMatch(alone, 'in the clear', 'the loopback address is nobody else’s');
    const tls = ['--tls-cert-file', '/nonexistent/tls.crt', '--tls-key-file', '/nonexistent/tls.key'];
    t.notMatch(await said(tls, false), 'in the clear');
  },
);

void t.test('without a policy and without a cluster there is nothing to run for', async (t) => {
  const { code, stderr } = await run(['run']);
  t.equal(code, 64);
  t.match(stderr, 'no policy was given');
});
