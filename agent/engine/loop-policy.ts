import { createHash } from 'node:crypto';
import { canonical } from '../policy/hash.ts';
import type { NodePolicy } from '../policy/merge.ts';
import type { LoopPorts } from './loop-ports.ts';
import { type SysctlEyes, sysctlEyes } from './loop-sysctls.ts';

/** A policy, what names it, and what reads its sysctls. */
export interface PolicyInForce {
  readonly policy: NodePolicy;
  readonly hash: string;
  readonly eyes: SysctlEyes;
}

/** The last good policy of this node: it stays in force while what replaces it cannot be read. */
export class LoopPolicy {
  private readonly ports: Pick<LoopPorts, 'policies' | 'publish' | 'log' | 'host'>;
  private valid = true;
  private known: PolicyInForce | undefined;

  constructor(ports: LoopPolicy['ports']) {
    this.ports = ports;
  }

  /** Undefined before the first good one. */
  get inForce(): PolicyInForce | undefined {
    return this.known;
  }

  /** Whether the policies of now are the ones in force. */
  get isValid(): boolean {
    return this.valid;
  }

  /** Reads the policies anew; `first` and `changed` bring another one into force. */
  async load(): Promise<'first' | 'changed' | 'same'> {
    const { publish, log, policies } = this.ports;
    const loaded = await policies.load();
    const wasValid = this.valid;
    this.valid = loaded.ok;
    publish.policyValid(loaded.ok);
    if (!loaded.ok) {
      for (const { code, where, message } of loaded.problems)
        log('error', 'policyInvalid', { code, where }, message);
      if (this.known !== undefined) log('warn', 'policyKept', {}, 'the last good policy stays in force');
      return 'same';
    }
    const hash = createHash('sha256').update(canonical(loaded.policy)).digest('hex');
    if (hash !== this.known?.hash) return this.enforce(loaded.policy, hash);
    if (!wasValid) log('info', 'policyValidAgain', {}, 'the policy can be read again and has not changed');
    return 'same';
  }

  close(): void {
    this.known?.eyes.close();
  }

  private enforce(policy: NodePolicy, hash: string): 'first' | 'changed' {
    const { publish, log, host } = this.ports;
    const isFirst = this.known === undefined;
    this.close();
    this.known = { policy, hash, eyes: sysctlEyes(host.sysctls, policy) };
    publish.policy(policy);
    const { names, allowedUnsafeSysctls: entries, sysctls } = policy;
    const counts = { policies: names, entries: entries.length, sysctls: sysctls.length };
    log('info', 'policyLoaded', counts, 'policy in force');
    return isFirst ? 'first' : 'changed';
  }
}
