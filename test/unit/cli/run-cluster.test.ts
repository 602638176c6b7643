import t from 'tap';
import type { PolicyOptions } from '../../../agent/cli/options.ts';
import { fleetPorts } from '../../../agent/cli/run-cluster.ts';
import { localGate } from '../../../agent/engine/gate.ts';
import type { PolicyDocument } from '../../../agent/policy/schema.ts';

void t.test('in a cluster every flag of the policy counts beside its documents', async (t) => {
  t.equal(await stated({}), undefined, 'nothing is read where nothing was given');
  t.match(await stated({ sysctl: ['vm.max_map_count=262144'] }), {
    spec: { sysctls: [{ name: 'vm.max_map_count', remediation: 'Write' }] },
  });
  for (const [setting, value] of [
    ['unit', 'k3s.service'],
    ['placement', 'DropIn'],
    ['existing', 'Remove'],
    ['narrowing', 'Allow'],
  ] as const) {
    t.match(await stated({ [setting]: value }), {
      origin: 'flags',
      stated: [setting],
      spec: { kubelet: { [setting]: value } },
    });
  }
  t.match(await stated({ probation: '2m' }), {
    origin: 'flags',
    stated: ['probation'],
    spec: { rollout: { probationMs: 120_000 } },
  });
});

/** The policy that an agent in a cluster makes of its flags; undefined where it makes none. */
async function stated(flags: PolicyOptions): Promise<PolicyDocument | undefined> {
  let found: { readonly policies: readonly PolicyDocument[] } | undefined;
  const connectCluster: Parameters<typeof fleetPorts>[0]['connectCluster'] = async ({ morePolicies }) => {
    found = await morePolicies?.();
    return undefined;
  };
  await fleetPorts(
    { connectCluster },
    flags,
    () => undefined,
    () => 0,
    {
      gate: localGate({
        clock: { now: () => 0, monotonic: () => 0, sleep: async () => Promise.resolve() },
        splayMs: 0,
        random: () => 0,
        warn: () => undefined,
      }),
      policies: {
        files: [],
        load: async () => Promise.resolve({ ok: false, problems: [] }),
        onChange: () => undefined,
      },
    },
  );
  return found?.policies[0];
}
