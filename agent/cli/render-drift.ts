import { unreachable } from '../errors.ts';
import type { KubeletLayer } from '../plan/drift.ts';
import type { DriftItem } from './layers.ts';

/** One sentence for each entry, whatever the number of layers it concerns. */
export function driftSentences(drifts: readonly DriftItem[]): readonly string[] {
  const sentences = new Map<string, string[]>();
  for (const drift of drifts) {
    const text = sentence(drift);
    sentences.set(text, [...(sentences.get(text) ?? []), ...('layer' in drift ? [where[drift.layer]] : [])]);
  }
  return [...sentences].map(
    ([text, places]) => `${text}${places.length === 0 ? '' : ` in ${listed(places)}`}`,
  );
}

function sentence(drift: DriftItem): string {
  switch (drift.kind) {
    case 'entryMissing':
      return `${drift.entry} is missing`;
    case 'entryExtra':
      return `${drift.entry} is more than the policy wants`;
    case 'layersDiffer':
      return `${drift.entry} is known elsewhere, but not`;
    case 'needsReload':
      return 'a file of the unit was changed and systemd has not read it yet (daemon-reload)';
    case 'sysctl':
      return `${drift.name} is ${drift.found ?? 'unknown'}, must be ${drift.expected}`;
    default:
      return unreachable(drift);
  }
}

function listed(words: readonly string[]): string {
  const [last = '', ...others] = [...words].reverse();
  return others.length === 0 ? last : `${others.reverse().join(', ')} and ${last}`;
}

const where: Readonly<Record<KubeletLayer, string>> = {
  disk: "the unit's files",
  loaded: 'what systemd has loaded',
  process: 'the running kubelet',
  configz: "the kubelet's own answer",
};
