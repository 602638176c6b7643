import { AgentError, type Problem } from '../errors.ts';
import { authorizationProblems } from './run-authorization.ts';
import type { RunArguments } from './run-options.ts';

/** What is wrong with the options of `run` by themselves. */
export function usageProblems(options: RunArguments, inCluster: boolean): readonly Problem[] {
  const problems: Problem[] = [];
  if ((options.tlsCertFile === undefined) !== (options.tlsKeyFile === undefined)) {
    problems.push({
      code: 'USAGE',
      message: '--tls-cert-file and --tls-key-file belong together',
      next: 'give both, or none',
    });
  }
  problems.push(...authorizationProblems(options, inCluster));
  const wishes = [options.policy, options.allow, options.sysctl];
  if (!inCluster && wishes.every((wish) => wish === undefined) && options.existing !== 'Remove') {
    problems.push({
      code: 'USAGE',
      message: 'no policy was given',
      next: 'name one with --policy, or say what you want with --allow or --sysctl',
    });
  }
  return problems;
}

/** The address or the TLS files cannot be had. */
export function notServed({ listen }: RunArguments, cause: unknown): AgentError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new AgentError('USAGE', `cannot serve metrics on ${listen.host ?? ''}:${listen.port}: ${why}`, {
    cause,
    next: 'name a free address with --listen; with TLS, check that both files are there and belong together',
  });
}
