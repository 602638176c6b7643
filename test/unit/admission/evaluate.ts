import { type CelInput, isCelError, run } from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import type { CelRules } from '../../../agent/admission/cel.ts';

export interface SampledPod {
  readonly namespace: string;
  readonly serviceAccount?: string;
  readonly sysctls?: readonly string[];
}

/** What the API server answers to the creation of a pod: undefined, or the message of the refusal. By others' CEL. */
export function refusalOf(rules: CelRules, pod: SampledPod): string | undefined {
  const context = { object: podObject(pod), request: { namespace: pod.namespace } };
  if (evaluate(rules.condition.expression, context) !== true) return undefined;
  const variables: Record<string, unknown> = {};
  for (const { name, expression } of rules.variables)
    variables[name] = evaluate(expression, { ...context, variables });
  if (evaluate(rules.validation.expression, { ...context, variables }) === true) return undefined;
  return String(evaluate(rules.validation.messageExpression, { ...context, variables }));
}

export function podObject({ namespace, serviceAccount, sysctls }: SampledPod): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace, name: 'sample' },
    spec: {
      ...(serviceAccount === undefined ? {} : { serviceAccountName: serviceAccount }),
      ...(sysctls === undefined
        ? {}
        : { securityContext: { sysctls: sysctls.map((name) => ({ name, value: '1' })) } }),
      containers: [{ name: 'c', image: 'i' }],
    },
  };
}

/** One expression, as the API server would have it. @throws Error for one that does not parse or fails. */
export function evaluate(expression: string, bindings: Record<string, unknown>): unknown {
  const result = run(expression, mapped(bindings), { funcs: strings });
  if (isCelError(result)) throw new Error(`${expression}: ${String(result)}`);
  return result;
}

// CEL has maps, not objects.
function celValue(value: unknown): CelInput {
  if (Array.isArray(value)) return value.map(celValue);
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    return new Map(Object.entries(mapped(value as Record<string, unknown>)));
  return value as CelInput;
}

function mapped(record: Record<string, unknown>): Record<string, CelInput> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, celValue(value)]));
}
