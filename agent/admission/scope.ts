import type { Problem } from '../errors.ts';

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

/** Whose pods may set unsafe sysctls. */
export type Scope =
  | { readonly kind: 'everybody' }
  | {
      readonly kind: 'chosen';
      /** All service accounts of these; sorted. */
      readonly namespaces: readonly string[];
      /** Sorted; none of them lives in one of the namespaces. */
      readonly serviceAccounts: readonly ServiceAccount[];
    };

/** As a person writes it: `web` is a namespace, `web:nginx` a service account. */
export interface WrittenScope {
  readonly namespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly everybody: boolean;
}

/** Reads a scope; every problem at once. Nobody chosen is a problem: it must be said that everybody may. */
export function scopeOf(written: WrittenScope): {
  readonly scope: Scope;
  readonly problems: readonly Problem[];
} {
  const problems = [
    ...written.namespaces.filter((name) => !isLabel(name)).map((name) => notANamespace(name)),
    ...written.serviceAccounts.filter((text) => accountOf(text) === undefined).map(notAnAccount),
  ];
  const chosen = written.namespaces.length + written.serviceAccounts.length > 0;
  if (written.everybody && chosen) problems.push(bothWays);
  if (!written.everybody && !chosen) problems.push(nobody);
  if (written.everybody) return { scope: { kind: 'everybody' }, problems };

  const namespaces = [...new Set(written.namespaces)].sort();
  const accounts = [...new Set(written.serviceAccounts)].sort().map(accountOf);
  return {
    scope: {
      kind: 'chosen',
      namespaces,
      serviceAccounts: accounts.filter(
        (account) => account !== undefined && !namespaces.includes(account.namespace),
      ) as readonly ServiceAccount[],
    },
    problems,
  };
}

/** `namespace web, service account shop:nginx`. */
export function scopeText(scope: Scope): string {
  if (scope.kind === 'everybody') return 'everybody';
  const { namespaces, serviceAccounts } = scope;
  return [
    ...namespaces.map((name) => `namespace ${name}`),
    ...serviceAccounts.map(({ namespace, name }) => `service account ${namespace}:${name}`),
  ].join(', ');
}

function accountOf(text: string): ServiceAccount | undefined {
  const [namespace = '', name = '', ...rest] = text.split(':');
  return rest.length === 0 && isLabel(namespace) && isSubdomain(name) ? { namespace, name } : undefined;
}

function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(text);
}

function isSubdomain(text: string): boolean {
  return text.length <= 253 && text.split('.').every((part) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(part));
}

function notANamespace(name: string): Problem {
  return {
    code: 'USAGE',
    message: `${JSON.stringify(name)} is no name of a namespace`,
    next: 'write --namespace web',
  };
}

function notAnAccount(text: string): Problem {
  return {
    code: 'USAGE',
    message: `${JSON.stringify(text)} is no service account`,
    next: 'write --service-account NAMESPACE:NAME, such as web:nginx',
  };
}

const bothWays: Problem = {
  code: 'USAGE',
  message: 'both everybody and somebody were chosen',
  next: 'leave out --all-namespaces, or all of --namespace and --service-account',
};

const nobody: Problem = {
  code: 'USAGE',
  message: 'nobody was chosen who may use the unsafe sysctls',
  next: 'write --service-account NAMESPACE:NAME, --namespace NAME or --all-namespaces',
};
