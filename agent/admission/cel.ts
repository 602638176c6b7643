import { AgentError } from '../errors.ts';
import type { Grant } from './grant.ts';
import { scopeText } from './scope.ts';

/** A named CEL expression, as ValidatingAdmissionPolicy and Kyverno write it. */
export interface CelVariable {
  readonly name: string;
  readonly expression: string;
}

/** A grant in CEL over `object` (a pod) and `request`, in the words that the API server has had since 1.28. */
export interface CelRules {
  /** Whether there is anything to judge. */
  readonly condition: CelVariable;
  /** Each may use the ones before it, as `variables.NAME`. */
  readonly variables: readonly CelVariable[];
  readonly validation: { readonly expression: string; readonly messageExpression: string };
}

/**
 * Says in CEL what a grant says. Names are compared in the kubelet's normalised spelling: a first separator that is a
 * slash swaps every slash and dot (NormalizeName in component-helpers).
 */
export function celRules(grant: Grant): CelRules {
  return {
    condition: {
      name: 'sets-sysctls',
      expression: 'has(object.spec.securityContext) && has(object.spec.securityContext.sysctls)',
    },
    variables: [
      {
        name: 'sysctls',
        // `|` occurs in no sysctl that the API server lets through, so it can stand in for the dot meanwhile.
        expression:
          "object.spec.securityContext.sysctls.map(s, s.name.matches('^[^./]*/') ? " +
          "s.name.replace('.', '|').replace('/', '.').replace('|', '/') : s.name)",
      },
      { name: 'unsafe', expression: `variables.sysctls.filter(s, !(s in ${list(grant.safe)}))` },
      {
        name: 'serviceAccount',
        expression:
          "has(object.spec.serviceAccountName) && object.spec.serviceAccountName != '' ? " +
          "object.spec.serviceAccountName : 'default'",
      },
      { name: 'granted', expression: grantedTo(grant) },
      ...longLists(grant),
      {
        name: 'forbidden',
        expression: `variables.unsafe.filter(s, !(variables.granted && ${covered(grant)}))`,
      },
    ],
    validation: {
      expression: 'size(variables.forbidden) == 0',
      messageExpression: `'forbidden sysctl: ' + variables.forbidden.join(', ') + ${text(`; the nodes allow ${entriesText(grant)} to ${scopeText(grant.scope)}`)}`,
    },
  };
}

function grantedTo({ scope }: Grant): string {
  if (scope.kind === 'everybody') return 'true';
  const accounts = scope.serviceAccounts.map(({ namespace, name }) => `${namespace}:${name}`);
  const parts = [
    ...(scope.namespaces.length === 0 ? [] : [`request.namespace in ${list(scope.namespaces)}`]),
    ...(accounts.length === 0
      ? []
      : [`request.namespace + ':' + variables.serviceAccount in ${list(accounts)}`]),
  ];
  return parts.join(' || ');
}

function covered(grant: Grant): string {
  const parts = [
    ...inChunks(grant.names, 'names').map((names) => `s in ${names}`),
    ...inChunks(grant.prefixes, 'prefixes').map((prefixes) => `${prefixes}.exists(p, s.startsWith(p))`),
  ];
  return parts.length === 1 ? parts.join('') : `(${parts.join(' || ')})`;
}

/** How lists are written where they are used: out in full, or, as soon as one is too long for that, as variables. */
function inChunks(values: readonly string[], name: string): readonly string[] {
  const lists = chunks(values);
  return lists.length === 1 ? lists.map(list) : lists.map((_, index) => `variables.${name}${index + 1}`);
}

function longLists({ names, prefixes }: Grant): readonly CelVariable[] {
  return Object.entries({ names, prefixes }).flatMap(([name, values]) => {
    const lists = chunks(values);
    return lists.length <= 1
      ? []
      : lists.map((part, index) => ({ name: `${name}${index + 1}`, expression: list(part) }));
  });
}

// The API server takes 100,000 characters of one expression, and a name has 253 at most.
const chunkSize = 300;

function chunks(values: readonly string[]): readonly (readonly string[])[] {
  const count = Math.ceil(values.length / chunkSize);
  return Array.from({ length: count }, (_, index) =>
    values.slice(index * chunkSize, (index + 1) * chunkSize),
  );
}

function entriesText({ names, prefixes }: Grant): string {
  const entries = [...names, ...prefixes.map((prefix) => `${prefix}*`)];
  // A message is for people; the API server cuts longer ones off.
  return entries.length <= 8
    ? entries.join(', ')
    : `${entries.slice(0, 8).join(', ')} and ${entries.length - 8} more`;
}

function list(values: readonly string[]): string {
  return `[${values.map(text).join(', ')}]`;
}

/** A CEL string. What reaches this point has been checked; a quote or an escape would be a hole in that. */
function text(value: string): string {
  if (!/^[\w ./:;,*-]*$/.test(value))
    throw new AgentError('INTERNAL', `${JSON.stringify(value)} cannot stand in CEL`);
  return `'${value}'`;
}
