import type { Fleet } from '../cluster/fleet.ts';
import { type CliContext, writeLines } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { jsonHead, writeJson } from './json.ts';
import type { OutputOptions } from './options.ts';
import { fleetJson } from './json-fleet.ts';
import { isConverged, renderCluster, summary } from './render-cluster.ts';

export interface ClusterArguments extends OutputOptions {
  readonly watch?: boolean;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

/** `status --cluster`: every node's status as its agent wrote it, and the slots. Reads only. */
export async function statusCluster(context: CliContext, options: ClusterArguments): Promise<ExitCode> {
  const { kubeconfig, context: kubeContext, namespace } = options;
  const connection = await context.connectFleet({ kubeconfig, context: kubeContext, namespace });
  try {
    if (options.watch === true && options.output === 'text') return await watch(context, connection);
    const fleet = await connection.read();
    const exitCode = exitCodeOfFleet(fleet);
    if (options.output === 'json') {
      const outcome = exitCode === exitCodes.done ? 'converged' : 'drifted';
      writeJson(context, {
        ...jsonHead(context, 'fleet', { outcome, exitCode, problems: [] }),
        ...fleetJson(fleet),
      });
    } else {
      writeLines(context.stdout, renderCluster(fleet, pageOf(context), context.clock.now()));
    }
    return exitCode;
  } finally {
    connection.close();
  }
}

function exitCodeOfFleet(fleet: Fleet): ExitCode {
  return isConverged(fleet) ? exitCodes.done : exitCodes.changes;
}

const clearScreen = '\u001b[H\u001b[2J\u001b[3J';
const redrawMs = 500;

/** Until a signal: on a terminal the whole picture, elsewhere a line for each change of the sum. */
async function watch(
  context: CliContext,
  connection: Awaited<ReturnType<CliContext['connectFleet']>>,
): Promise<ExitCode> {
  context.holdSignals();
  let newest: { readonly fleet: Fleet; readonly trouble: string | undefined } | undefined;
  let shown: typeof newest;
  let line = '';
  const following = connection.follow((fleet, trouble) => {
    newest = { fleet, trouble };
  });
  try {
    for (;;) {
      await context.clock.sleep(redrawMs, context.signal);
      if (newest === undefined || newest === shown) continue;
      shown = newest;
      if (context.stdout.isTerminal) {
        const lines = renderCluster(shown.fleet, pageOf(context), context.clock.now());
        const trouble = shown.trouble === undefined ? [] : [`not up to date: ${shown.trouble}`];
        context.stdout.write(clearScreen);
        writeLines(context.stdout, [...lines, ...trouble]);
      } else {
        const [, counts = ''] = summary(shown.fleet, { width: 10_000, colour: false });
        if (counts !== line) writeLines(context.stdout, [counts]);
        line = counts;
      }
    }
  } catch (error) {
    if (!context.signal.aborted) throw error;
    return newest === undefined ? exitCodes.changes : exitCodeOfFleet(newest.fleet);
  } finally {
    following.close();
  }
}

function pageOf({ stdout }: CliContext): { readonly width: number; readonly colour: boolean } {
  return { width: stdout.columns, colour: stdout.colour };
}
