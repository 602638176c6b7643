import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { test } from 'tap';
import { policyPath, RunningAgent, webPolicy } from './run-agent.ts';
import { bootNode, nodeTierUnavailable } from './support/node.ts';

const tools = ['/usr/bin/prometheus', '/usr/bin/promtool'];
const missing = tools.filter((tool) => !existsSync(tool));
const withoutTools =
  missing.length > 0 ? `needs ${missing.join(' and ')} (Debian's package prometheus)` : false;
const skip = nodeTierUnavailable() ?? withoutTools;
const manifests = fileURLToPath(new URL('../../manifests/prometheus/', import.meta.url));

void test(
  'promtool finds nothing wrong with the rules, and their tests pass',
  { skip: withoutTools },
  async (t) => {
    t.match(
      (await execa('promtool', ['check', 'rules', 'rules.yaml'], { cwd: manifests })).stdout,
      /SUCCESS: \d+ rules found/,
    );
    t.match(
      (await execa('promtool', ['test', 'rules', 'rules.test.yaml'], { cwd: manifests })).stdout,
      'SUCCESS',
    );
  },
);

void test(
  'a real Prometheus that scrapes a real agent alerts on a drift, and the alert resolves',
  { skip },
  async (t) => {
    const node = await bootNode(
      { layout: 'quick', files: { [policyPath]: webPolicy.replace(', remediation: Write', '') } },
      t,
    );
    const agent = new RunningAgent(node);
    await agent.start();
    await node.exec(['sh', '-c', 'echo 1234 > /proc/sys/net/core/somaxconn']);
    await agent.isIn('converged');

    const home = mkdtempSync(join(tmpdir(), 'prometheus-'));
    t.teardown(() => {
      rmSync(home, { recursive: true, force: true });
    });
    // The rules as they are, but for their patience.
    const rules = (await execa('sed', ['s/for: 1m$/for: 2s/', join(manifests, 'rules.yaml')])).stdout;
    writeFileSync(join(home, 'rules.yaml'), rules);
    writeFileSync(join(home, 'prometheus.yaml'), configuration);
    const running = execa(
      'nsenter',
      [
        '-t',
        String(node.pid),
        '-n',
        '--',
        'prometheus',
        `--config.file=${home}/prometheus.yaml`,
        `--storage.tsdb.path=${home}/data`,
        '--web.listen-address=127.0.0.1:9090',
        '--log.level=warn',
      ],
      { reject: false, cleanup: true },
    );
    t.teardown(async () => {
      running.kill('SIGTERM');
      await running;
    });
    const ask = async (path: string): Promise<unknown> => {
      const url = `http://127.0.0.1:9090/api/v1/${path}`;
      const { stdout } = await execa(
        'nsenter',
        ['-t', String(node.pid), '-n', '--', 'curl', '-sg', '-m', '5', url],
        { reject: false },
      );
      return stdout === '' ? undefined : JSON.parse(stdout);
    };
    const query = async (expression: string): Promise<number | undefined> => {
      const answer = (await ask(`query?query=${encodeURIComponent(expression)}`)) as Answer | undefined;
      const value = answer?.data?.result?.[0]?.value[1];
      return value === undefined ? undefined : Number(value);
    };
    const alert = 'ALERTS{alertname="NodeSysctlDrifted",sysctl="net.core.somaxconn",alertstate="firing"}';

    await node.waitFor(async () => (await query('up')) === 1, {
      what: 'Prometheus to scrape the agent',
      deadlineMs: 40_000,
    });
    t.equal(await query('sysctl_agent_node_sysctl_drift{sysctl="net.core.somaxconn"}'), 0);
    t.equal(await query(alert), undefined);

    await node.exec(['sh', '-c', 'echo 99 > /proc/sys/net/core/somaxconn']);
    await node.waitFor(async () => (await query(alert)) === 1, {
      what: 'the alert to fire',
      deadlineMs: 40_000,
    });
    t.equal(await query('sysctl_agent_node_sysctl_value{sysctl="net.core.somaxconn",index="0"}'), 99);
    t.equal(await query('sysctl_agent:node_sysctl_drift:nodes{sysctl="net.core.somaxconn"}'), 1);

    await node.exec(['sh', '-c', 'echo 1234 > /proc/sys/net/core/somaxconn']);
    await node.waitFor(async () => (await query(alert)) === undefined, {
      what: 'the alert to resolve',
      deadlineMs: 40_000,
    });

    const targets = (await ask('targets')) as { data: { activeTargets: readonly { lastError: string }[] } };
    t.same(
      targets.data.activeTargets.map(({ lastError }) => lastError),
      [''],
      'every scrape was parsed, as OpenMetrics',
    );
  },
);

interface Answer {
  readonly data?: { readonly result?: readonly { readonly value: readonly [number, string] }[] };
}

const configuration = `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: sysctl-agent
    static_configs: [{ targets: ['127.0.0.1:9877'] }]
`;
