import t from 'tap';
import { planJson } from '../../../agent/cli/json-plan.ts';
import { renderApplied } from '../../../agent/cli/render-outcome.ts';
import { chosenLines, placementLines } from '../../../agent/cli/render-placements.ts';
import { renderPlan } from '../../../agent/cli/render-plan.ts';
import { renderProblem } from '../../../agent/cli/render-problem.ts';
import { ownersOf } from '../../../agent/kubelet/owners.ts';
import { ownerProblems } from '../../../agent/plan/ownership.ts';
import type { Notes, PlacementOption } from '../../../agent/plan/plan.ts';
import { committed, observedNode, planOf } from '../../support/cli/node.ts';

const page = { width: 80, colour: false };
const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

function option(kind: PlacementOption['kind'], rest: Partial<PlacementOption>): PlacementOption {
  return {
    kind,
    possible: true,
    chosen: false,
    path: '/x',
    why: undefined,
    reload: false,
    restart: true,
    survives: 'reboots',
    hides: undefined,
    ...rest,
  };
}

const comparison: readonly PlacementOption[] = [
  option('Unit', {
    possible: false,
    path: undefined,
    why: '/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf belongs to a package: its next upgrade would overwrite an edit',
    reload: true,
  }),
  option('DropIn', {
    chosen: true,
    reload: true,
    survives: 'package upgrades and reboots; it is made anew when the command below it changes',
    hides: 'the list of /var/lib/kubelet/config.yaml, whose entries are taken over',
  }),
  option('EnvironmentFile', {
    survives: 'reboots, and upgrades where the package leaves /etc/default/kubelet alone',
  }),
  option('KubeletConfig', {
    possible: false,
    path: undefined,
    why: 'the flag --allowed-unsafe-sysctls=net.core.somaxconn,kernel.msg* of the command line hides the list of every configuration file',
  }),
];
const notes: Notes = { warnings: [], hints: [], sysctls: [], comparison };

void t.test('placements stand side by side, one line each, the chosen one marked', (t) => {
  t.equal(
    text(placementLines(notes, true, page)),
    `placements           reload  restart  survives
    Unit             impossible: …/10-kubeadm.conf belongs to a package …
  * DropIn           yes     yes      package upgrades and reboots …
    EnvironmentFile  no      yes      reboots, and upgrades where the package …
    KubeletConfig    impossible: the flag --allowed-unsafe-sysctls of the …
`,
  );
  t.end();
});

void t.test('of an image, and on a narrow page, nothing is said of reload and restart', (t) => {
  t.equal(
    text(placementLines(notes, false, page)),
    `placements           survives
    Unit             impossible: …/10-kubeadm.conf belongs to a package …
  * DropIn           package upgrades and reboots; it is made anew when the …
    EnvironmentFile  reboots, and upgrades where the package leaves …/kubelet …
    KubeletConfig    impossible: the flag --allowed-unsafe-sysctls of the …
`,
  );
  t.ok(placementLines(notes, true, { ...page, width: 40 }).every((line) => line.length <= 40));
  t.same(placementLines({ ...notes, comparison: [] }, true, page), []);
  t.same(placementLines({ warnings: [], hints: [], sysctls: [] }, true, page), []);
  t.end();
});

void t.test('of the chosen placement everything is said, and what its owner does only once', (t) => {
  const choice = { kind: 'DropIn', path: '/etc/x.conf', why: 'the policy asks for it' } as const;
  t.equal(
    text(chosenLines(choice, notes, page)),
    `placement  DropIn, in /etc/x.conf
           because the policy asks for it
           survives package upgrades and reboots; it is made anew when the
           command below it changes
           hides the list of /var/lib/kubelet/config.yaml, whose entries are
           taken over
`,
  );
  const advice = 'the unit is written anew at every boot; the change is gone then';
  const owned: Notes = {
    ...notes,
    hints: [`this node was set up by GKE (/etc/os-release): ${advice}`],
    comparison: [option('Unit', { chosen: true, survives: `package upgrades and reboots; ${advice}` })],
  };
  t.equal(
    text(chosenLines(choice, owned, page)),
    `placement  DropIn, in /etc/x.conf
           because the policy asks for it
           survives package upgrades and reboots; but see below
`,
  );
  t.equal(
    text(placementLines(owned, true, page)),
    `placements  reload  restart  survives
  * Unit    no      yes      package upgrades and reboots; but see below
`,
  );
  t.end();
});

void t.test('plan compares placements even where it is refused; apply does not', (t) => {
  const problem = { code: 'UNIT_NEEDS_RELOAD', message: 'somebody else edited the unit' } as const;
  const planned = {
    observed: observedNode,
    outcome: { kind: 'refused', problems: [problem], entries: undefined, notes },
  } as const;
  t.equal(
    text(renderPlan({ nodeName: 'a', planned, policies: ['web'], others: [], obstacles: [] }, page)),
    `node       a (kubelet v1.36.2, systemd 252, kernel 6.1.0)
unit       kubelet.service
policy     web

${text(placementLines(notes, true, page))}
refused  UNIT_NEEDS_RELOAD
  somebody else edited the unit

apply would refuse this and touch nothing.
`,
  );
  const recovered = { kind: 'nothing' } as const;
  t.equal(
    text(renderApplied({ kind: 'refused', planned, problems: [problem], recovered }, page)),
    `refused  UNIT_NEEDS_RELOAD
  somebody else edited the unit
Nothing was touched.
`,
  );
  const change = { observed: observedNode, outcome: { kind: 'change', plan: planOf(), notes } } as const;
  t.notMatch(
    text(renderApplied({ kind: 'committed', planned: change, journal: committed(), recovered }, page)),
    'placements',
  );
  t.end();
});

void t.test('JSON says of every placement what the table shortens', (t) => {
  const planned = { observed: observedNode, outcome: { kind: 'change', plan: planOf(), notes } } as const;
  const { placements } = planJson(planned);
  t.strictSame(
    JSON.parse(JSON.stringify(placements)),
    comparison.map((one) => ({
      ...one,
      path: one.path ?? null,
      why: one.why ?? null,
      hides: one.hides ?? null,
    })),
  );
  t.strictSame(planJson(undefined)['placements'], []);
  t.end();
});

void t.test("an owner's own way is printed so that it can be copied", (t) => {
  const owners = ownersOf({
    marks: { '/etc/machine-config-daemon': '' },
    unitFiles: [],
    files: [],
    environmentFiles: [],
    entries: ['net.core.somaxconn', 'kernel.msg*'],
  });
  const [problem] = ownerProblems(owners);
  if (problem === undefined) throw new Error('this owner is refused');
  t.equal(
    text(renderProblem(problem, 'refused', page)),
    `refused  UNIT_OWNED
  this node's kubelet belongs to OpenShift's machine-config-operator
  (/etc/machine-config-daemon is there), which puts its own configuration back
  next: apply a KubeletConfig; the operator marks a node Degraded whose files
        differ:
        apiVersion: machineconfiguration.openshift.io/v1
        kind: KubeletConfig
        metadata:
          name: allowed-unsafe-sysctls
        spec:
          machineConfigPoolSelector:
            matchLabels:
              pools.operator.machineconfiguration.openshift.io/worker: ""
          kubeletConfig:
            allowedUnsafeSysctls:
            - net.core.somaxconn
            - kernel.msg*
`,
  );
  t.end();
});

void t.test('a place that the message names is not said twice', (t) => {
  const message = 'cannot read /etc/x.yaml: it is not there';
  t.equal(
    text(renderProblem({ code: 'UNIT_UNREADABLE', message, where: { file: '/etc/x.yaml' } }, 'error', page)),
    `error  UNIT_UNREADABLE
  cannot read /etc/x.yaml: it is not there
`,
  );
  t.equal(
    text(
      renderProblem(
        { code: 'UNIT_UNREADABLE', message, where: { file: '/etc/x.yaml', line: 3, column: 1 } },
        'error',
        page,
      ),
    ),
    `error  UNIT_UNREADABLE
  /etc/x.yaml:3:1: cannot read /etc/x.yaml: it is not there
`,
  );
  t.end();
});
