import type { ExpectedSysctl } from '../policy/merge.ts';
import { judge, valueToWrite } from '../sysctl/values.ts';
import { renderSysctlD, readSysctlD } from '../sysctl/sysctl-d.ts';
import type { ObservedNode } from './observed.ts';
import type { SysctlFinding, SysctlWrite } from './plan.ts';
import type { ProposedFile } from './proposal.ts';

/** Sorts behind what distributions and admins usually write, because the last setting of a sysctl wins. */
export const sysctlFilePath = '/etc/sysctl.d/zz-kubelet-sysctl-agent.conf';

export interface SysctlPlan {
  readonly findings: readonly SysctlFinding[];
  readonly writes: readonly SysctlWrite[];
  readonly file: ProposedFile | undefined;
}

/** What the policy expects of node sysctls, what is found, and what `Write` would put right, now and after a reboot. */
export function planSysctls(observed: ObservedNode, expected: readonly ExpectedSysctl[]): SysctlPlan {
  const findings = expected.map((sysctl) => findingOf(observed, sysctl));
  const writes: SysctlWrite[] = [];
  for (const [index, sysctl] of expected.entries()) {
    const finding = findings[index];
    if (finding?.state === 'drifted' && finding.found !== undefined && sysctl.remediation === 'Write') {
      writes.push({
        name: sysctl.name,
        before: finding.found,
        value: valueToWrite(sysctl.expectation, finding.found),
      });
    }
  }
  return { findings, writes, file: fileChange(observed, expected, writes) };
}

function findingOf(observed: ObservedNode, sysctl: ExpectedSysctl): SysctlFinding {
  const { name, expectation, remediation } = sysctl;
  const expectedText =
    expectation.kind === 'value'
      ? expectation.value
      : `${expectation.kind === 'atLeast' ? '>=' : '<='} ${expectation.value}`;
  const reading = observed.sysctls[name];
  const base = { name, expected: expectedText, remediation };
  if (reading === undefined || reading.kind === 'unreadable') {
    return { ...base, found: undefined, state: 'unknown', reason: reading?.reason ?? 'not read' };
  }
  const verdict = judge(reading.value, expectation);
  if (verdict === 'incomparable')
    return {
      ...base,
      found: reading.value,
      state: 'unknown',
      reason: 'not as many whole numbers as its bound has',
    };
  return { ...base, found: reading.value, state: verdict };
}

/**
 * Our file holds every exact value that we are to write, and a bound only once it was needed: a kernel default
 * above `atLeast` must not be lowered to the bound at the next boot.
 */
function fileChange(
  observed: ObservedNode,
  expected: readonly ExpectedSysctl[],
  writes: readonly SysctlWrite[],
): ProposedFile | undefined {
  // A policy that does not speak of sysctls leaves what an earlier one wrote.
  if (expected.length === 0) return undefined;
  const before = observed.sysctlFile;
  const present = new Map(
    (before === undefined ? [] : readSysctlD(before.text)).map((entry) => [entry.name, entry.value]),
  );
  const lines = expected
    .filter(({ remediation }) => remediation === 'Write')
    .flatMap((sysctl) => {
      const { name, expectation } = sysctl;
      if (expectation.kind === 'value') return [{ name, value: expectation.value }];
      const write = writes.find((candidate) => candidate.name === name);
      if (write !== undefined) return [{ name, value: write.value }];
      const kept = present.get(name);
      return kept !== undefined && judge(kept, expectation) === 'met' ? [{ name, value: kept }] : [];
    });
  const after = lines.length === 0 ? null : renderSysctlD(lines);
  if ((before?.text ?? null) === after) return undefined;
  return { path: sysctlFilePath, before: before ?? null, after };
}
