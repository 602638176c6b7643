import type { HostPorts } from '../engine/ports.ts';
import { AgentError, problemOf } from '../errors.ts';
import type { NodeConnection } from '../wire.ts';
import type { CliContext } from './context.ts';
import type { Progress } from './progress.ts';

/**
 * Does one piece of work while no other agent can. @throws AgentError ROLLBACK_FAILED instead of any error that escapes
 * once a step had begun: then nobody has said how the node stands, and the watchdog may still have to act.
 */
export async function underLock<T>(
  context: CliContext,
  node: NodeConnection,
  progress: Progress,
  work: (host: HostPorts) => Promise<T>,
): Promise<T> {
  const host = await node.transactions();
  const lock = await host.state.lock();
  context.holdSignals();
  try {
    return await work(host);
  } catch (cause) {
    if (!progress.began) throw cause;
    throw new AgentError(
      'ROLLBACK_FAILED',
      `the transaction stopped without a verdict: ${problemOf(cause).message}`,
      {
        cause,
        next: 'look at `kubelet-sysctl-agent status`; the watchdog puts the old files back unless the transaction is committed',
      },
    );
  } finally {
    await lock.release();
  }
}
