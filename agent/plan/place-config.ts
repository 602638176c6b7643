import { renderConfigDropIn, setAllowedUnsafeSysctls } from '../kubelet/config-edit.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readFlag } from '../kubelet/flag.ts';
import type { KubeletFacts } from './facts.ts';
import type { ObservedNode } from './observed.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

/** Sorts behind what people usually call theirs, because the last list wins. */
const dropInName = 'zz-kubelet-sysctl-agent.conf';

/**
 * Writes the list where the kubelet reads it without a flag: a drop-in of our own in --config-dir (kubelets from 1.30
 * on), or else the file of --config. Never where a flag would hide it.
 */
export function placeInConfig(observed: ObservedNode, facts: KubeletFacts, wanted: Wanted): Proposal {
  const { command, version } = facts;
  if (command.flagEntries !== undefined) {
    return impossible(
      `the flag --allowed-unsafe-sysctls=${command.flagEntries.join(',')} of the command line hides the list of every configuration file`,
      `to move its entries into the file: add them to the policy, take the flag out ${whereFlagStands(facts)}, and apply with placement: KubeletConfig in the same maintenance window; or keep the flag and use placement: Auto`,
    );
  }
  const args = command.expanded.slice(command.argsFrom);
  const directory = readFlag(args, 'config-dir');
  const takesDropIns = version !== undefined && (version.major > 1 || version.minor >= 30);
  if (directory?.startsWith('/') === true && takesDropIns)
    return inDirectory(observed, facts, directory, wanted);

  const main = observed.kubeletConfig;
  if (main === undefined) {
    return impossible(
      readFlag(args, 'config') === undefined
        ? 'the kubelet is started without --config'
        : 'its --config file cannot be read',
      'use placement: Auto',
    );
  }
  if (facts.listFrom !== undefined && facts.listFrom !== main.path) {
    return impossible(
      `${facts.listFrom} gives the list and hides the one of ${main.path}`,
      'use placement: Auto',
    );
  }
  const edit = setAllowedUnsafeSysctls(main, wanted.entries);
  if (!edit.ok) return edit;
  return proposal(main.realPath, { path: main.realPath, before: main, after: edit.text }, facts);
}

function inDirectory(
  observed: ObservedNode,
  facts: KubeletFacts,
  directory: string,
  wanted: Wanted,
): Proposal {
  const path = `${directory.replace(/\/+$/, '')}/${dropInName}`;
  const ours = observed.kubeletConfigDropIns.find((file) => file.path === path);
  const text = renderConfigDropIn(wanted.entries);
  const others = observed.kubeletConfigDropIns.filter((file) => file.path !== path);
  const after = readKubeletConfig(observed.kubeletConfig, [...others, { path, text }], facts.version);
  if (!after.ok) return after;
  if (after.listFrom !== path) {
    return impossible(
      `${after.listFrom ?? 'nothing'} is read after ${path} and gives the list again`,
      `rename that file so that it sorts before ${dropInName}`,
    );
  }
  return proposal(path, { path, before: ours ?? null, after: text }, facts);
}

function proposal(
  path: string,
  file: (Proposal & { ok: true })['files'][number],
  facts: KubeletFacts,
): Proposal {
  return {
    ok: true,
    kind: 'KubeletConfig',
    path,
    files: [file],
    reload: false,
    commandAfter: facts.command.loaded,
    dropIns: [],
  };
}

function whereFlagStands({ command }: KubeletFacts): string {
  return command.literal.length > 0 ? `of ${command.holder.path}` : 'of the variable that holds it';
}
