import { grantOf } from '../admission/grant.ts';
import type { AdmissionKind } from '../admission/kinds.ts';
import { admissionObjects, admissionText } from '../admission/manifest-text.ts';
import { podSecurityPolicyProblems } from '../admission/pod-security-policy.ts';
import type { Problem } from '../errors.ts';
import { type KubeletVersion, parseKubeletVersion } from '../kubelet/version.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { loadDocuments } from './load-documents.ts';
import type { OutputOptions, PolicyOptions } from './options.ts';
import { refuse } from './refuse.ts';
import { renderProblem } from './render-problem.ts';

export interface RenderArguments extends OutputOptions, Pick<PolicyOptions, 'policy' | 'allow'> {
  readonly kind: AdmissionKind;
  readonly name: string;
  readonly namespace?: readonly string[];
  readonly serviceAccount?: readonly string[];
  readonly allNamespaces?: boolean;
  readonly kubeletVersion?: string;
}

/** `render`: writes the admission policy that grants what the nodes allow, for `kubectl apply -f -`. */
export async function render(context: CliContext, options: RenderArguments): Promise<ExitCode> {
  const kubelet = options.kubeletVersion === undefined ? undefined : versionOf(options.kubeletVersion);
  const loaded = await loadDocuments(options);
  const problems = [...(kubelet === 'malformed' ? [malformedVersion] : []), ...loaded.problems];
  if (kubelet === 'malformed' || problems.length > 0)
    return refuse(context, 'render', options.output, problems);

  const granted = grantOf(loaded.policies, {
    name: options.name,
    namespaces: options.namespace ?? [],
    serviceAccounts: options.serviceAccount ?? [],
    everybody: options.allNamespaces ?? false,
    ...(kubelet === undefined ? {} : { kubelet }),
  });
  if (!granted.ok) return refuse(context, 'render', options.output, granted.problems);
  const unfit = options.kind === 'psp' ? podSecurityPolicyProblems(granted.grant) : [];
  if (unfit.length > 0) return refuse(context, 'render', options.output, unfit);

  const { columns: width, colour } = context.stderr;
  for (const warning of granted.warnings)
    writeLines(context.stderr, renderProblem(warning, 'warning', { width, colour }));
  context.stdout.write(
    options.output === 'json'
      ? // A List, which kubectl applies as well.
        `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: admissionObjects(granted.grant, options.kind) }, null, 2)}\n`
      : admissionText(granted.grant, options.kind),
  );
  return exitCodes.done;
}

function versionOf(text: string): KubeletVersion | 'malformed' {
  const bare = text.replace(/^v/, '');
  return parseKubeletVersion(`v${/^\d+\.\d+$/.test(bare) ? `${bare}.0` : bare}`) ?? 'malformed';
}

const malformedVersion: Problem = {
  code: 'USAGE',
  message: 'the value of --kubelet-version is no version of a kubelet',
  next: 'write --kubelet-version 1.28, the oldest of the cluster',
};
