import * as fc from 'fast-check';
import t from 'tap';
import {
  judge,
  type Probation,
  type ProbationRules,
  type ProbationStep,
  type Sample,
  startProbation,
} from '../../../agent/transaction/probation.ts';

const rules: ProbationRules = { probationMs: 30_000, graceMs: 60_000, healthzRequired: true };

const well: Sample = {
  atMs: 0,
  activeState: 'active',
  subState: 'running',
  mainPid: 100,
  invocationId: 'i1',
  nRestarts: 0,
  health: 'ok',
  flagInForce: true,
};

/** Judges the samples one after another until one of them decides; `at` is the index of that one. */
function watch(samples: readonly Sample[], by: ProbationRules = rules): { step: ProbationStep; at: number } {
  let probation: Probation = startProbation(0);
  let last: ProbationStep = { kind: 'watching', probation };
  for (const [at, sample] of samples.entries()) {
    last = judge(probation, sample, by);
    if (last.kind !== 'watching') return { step: last, at };
    probation = last.probation;
  }
  return { step: last, at: samples.length };
}

const every = (ms: number, samples: readonly Partial<Sample>[]): Sample[] =>
  samples.map((sample, index) => ({ ...well, atMs: index * ms, ...sample }));

const arbitrarySample = fc.record({
  activeState: fc.oneof(
    { weight: 20, arbitrary: fc.constant('active') },
    fc.constantFrom('activating', 'failed', 'inactive', 'deactivating', 'reloading'),
  ),
  subState: fc.oneof(
    { weight: 20, arbitrary: fc.constant('running') },
    fc.constantFrom('auto-restart', 'start-pre', 'dead'),
  ),
  mainPid: fc.oneof({ weight: 20, arbitrary: fc.constant(100) }, fc.constantFrom(0, 101)),
  invocationId: fc.oneof({ weight: 20, arbitrary: fc.constant('i1') }, fc.constant('i2')),
  nRestarts: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, fc.constant(1)),
  health: fc.oneof(
    { weight: 20, arbitrary: fc.constant('ok' as const) },
    fc.constantFrom('off' as const, 'unhealthy' as const, 'unknown' as const),
  ),
  flagInForce: fc.oneof({ weight: 20, arbitrary: fc.constant(true) }, fc.constantFrom(false, undefined)),
});
const run = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 20_000 }), arbitrarySample), { minLength: 1, maxLength: 30 })
  .map((steps) => {
    let atMs = 0;
    return steps.map(([gap, sample]): Sample => ({ ...sample, atMs: (atMs += gap) }));
  });
const anyRules = fc.record({
  probationMs: fc.integer({ min: 1, max: 60_000 }),
  graceMs: fc.nat(60_000),
  healthzRequired: fc.boolean(),
});

const isWell = (sample: Sample, by: ProbationRules): boolean =>
  sample.activeState === 'active' &&
  sample.mainPid !== 0 &&
  sample.flagInForce === true &&
  (by.healthzRequired ? sample.health === 'ok' : sample.health !== 'unhealthy');

void t.test(
  'nothing passes before one and the same process was well for the whole probation without a break',
  async () => {
    fc.assert(
      fc.property(run, anyRules, (samples, by) => {
        const { step, at } = watch(samples, by);
        if (step.kind !== 'passed') return true;
        const end = samples[at] ?? well;
        const span = samples.slice(0, at + 1).filter(({ atMs }) => atMs >= end.atMs - by.probationMs);
        const first = samples.slice(0, at + 1).findLast(({ atMs }) => atMs <= end.atMs - by.probationMs);
        return (
          first !== undefined &&
          [first, ...span].every(
            (sample) =>
              isWell(sample, by) &&
              sample.mainPid === end.mainPid &&
              sample.invocationId === end.invocationId &&
              sample.nRestarts <= first.nRestarts,
          )
        );
      }),
      { numRuns: 2_000 },
    );
  },
);

void t.test('another process, another invocation or a counted restart fails at once', async () => {
  const change = fc.constantFrom<Partial<Sample>>(
    { mainPid: 101 },
    { mainPid: 0 },
    { invocationId: 'i2' },
    { nRestarts: 1 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), change, (after, changed) => {
      const samples = every(500, [...Array.from({ length: after }, () => ({})), changed]);
      const { step, at } = watch(samples);
      return step.kind === 'failed' && step.code === 'KUBELET_RESTARTED' && at === after;
    }),
  );
});

void t.test('a probation has an end, whatever is seen', async () => {
  fc.assert(
    fc.property(run, anyRules, (samples, by) => {
      const { step, at } = watch(samples, by);
      const end = samples[at]?.atMs;
      const before = samples[at - 1]?.atMs ?? 0;
      // Decided by the first sample behind the end of all time, at the latest.
      return step.kind === 'watching'
        ? (samples.at(-1)?.atMs ?? 0) <= by.graceMs + by.probationMs
        : end === undefined || before <= by.graceMs + by.probationMs;
    }),
    { numRuns: 2_000 },
  );
});

void t.test(
  'a kubelet that is well from the first look passes when its probation is over, not sooner',
  async (t) => {
    const samples = every(
      500,
      Array.from({ length: 80 }, () => ({})),
    );
    const { step, at } = watch(samples);
    t.equal(step.kind, 'passed');
    t.equal(samples[at]?.atMs, 30_000);
  },
);

void t.test('one bad moment starts the probation anew', async (t) => {
  const samples = every(
    500,
    Array.from({ length: 160 }, (_, index) => (index === 40 ? { health: 'unhealthy' as const } : {})),
  );
  const { step, at } = watch(samples);
  t.equal(step.kind, 'passed');
  t.equal(samples[at]?.atMs, 20_500 + 30_000);
});

void t.test('a unit that exits, or waits to be started again, fails at once', async (t) => {
  for (const gone of [
    { activeState: 'failed', subState: 'failed' },
    { activeState: 'inactive', subState: 'dead' },
    { activeState: 'deactivating', subState: 'stop-sigterm' },
    { activeState: 'activating', subState: 'auto-restart' },
    { activeState: 'activating', subState: 'auto-restart-queued' },
  ]) {
    t.match(watch(every(500, [gone])).step, { kind: 'failed', code: 'KUBELET_EXITED' }, gone.subState);
    t.match(watch(every(500, [{}, gone])).step, { kind: 'failed', code: 'KUBELET_EXITED' }, gone.subState);
  }
});

void t.test(
  'silence is never health: what is not well in time fails, and says what was missing',
  async (t) => {
    const forEver = (sample: Partial<Sample>): ProbationStep =>
      watch(
        every(
          1_000,
          Array.from({ length: 100 }, () => sample),
        ),
      ).step;
    t.match(forEver({ health: 'unknown' }), {
      kind: 'failed',
      code: 'KUBELET_NOT_ANSWERING',
      message: /healthz is unknown/,
    });
    t.match(forEver({ health: 'off' }), { kind: 'failed', code: 'KUBELET_NOT_ANSWERING' });
    t.match(forEver({ flagInForce: false }), { kind: 'failed', code: 'FLAG_NOT_IN_FORCE' });
    t.match(forEver({ flagInForce: undefined }), {
      kind: 'failed',
      code: 'FLAG_NOT_IN_FORCE',
      message: /cannot be read/,
    });
    t.match(forEver({ activeState: 'activating', subState: 'start', mainPid: 0 }), {
      kind: 'failed',
      code: 'KUBELET_NOT_ANSWERING',
    });
  },
);

void t.test(
  'where /healthz was off before, its silence is no complaint; a bad answer still is',
  async (t) => {
    const lenient = { ...rules, healthzRequired: false };
    const long = (sample: Partial<Sample>): ProbationStep =>
      watch(
        every(
          1_000,
          Array.from({ length: 100 }, () => sample),
        ),
        lenient,
      ).step;
    t.match(long({ health: 'off' }), { kind: 'passed' });
    t.match(long({ health: 'unknown' }), { kind: 'passed' });
    t.match(long({ health: 'unhealthy' }), { kind: 'failed', code: 'KUBELET_NOT_ANSWERING' });
  },
);

void t.test('two looks far apart do not hide a restart between them', async (t) => {
  t.match(watch(every(45_000, [{}, { mainPid: 101, invocationId: 'i2' }])).step, {
    kind: 'failed',
    code: 'KUBELET_RESTARTED',
  });
});
