// A stand-in API server behind TLS, for the network namespace of a node: `node api-server.ts DIRECTORY PORT`. The
// directory holds tls.crt, tls.key and policy.json; prints a line when it is ready.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { StandInApiServer } from '../../test/cluster/support/stand-in.ts';

const [directory = '', port = ''] = process.argv.slice(2);
const file = (name: string): string => readFileSync(join(directory, name), 'utf8');

const standIn = await StandInApiServer.start();
standIn.store.put('nodes', '/bench', {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'bench', uid: 'bench', labels: {} },
  spec: {},
});
standIn.store.put('nodesysctlpolicies', '/bench', JSON.parse(file('policy.json')) as Record<string, unknown>);
setInterval(() => {
  standIn.bookmark();
}, 60_000);

createServer({ cert: file('tls.crt'), key: file('tls.key') }, (socket) => {
  const behind = connect(Number(standIn.url.port), '127.0.0.1');
  for (const [end, other] of [
    [socket, behind],
    [behind, socket],
  ] as const)
    end.on('error', () => other.destroy());
  socket.pipe(behind).pipe(socket);
}).listen(Number(port), '127.0.0.1', () => {
  process.stdout.write('ready\n');
});
