import { Command, CommanderError } from 'commander';
import { admissionKinds } from '../admission/kinds.ts';
import { problemOf } from '../errors.ts';
import type { CliContext } from './context.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import {
  helpTail,
  applyExample,
  auditExample,
  explainExample,
  planExample,
  renderExample,
  rollbackExample,
  runExample,
  statusExample,
  validateExample,
} from './help.ts';
import { jsonCommand } from './json.ts';
import {
  collect,
  mirrored,
  type Output,
  several,
  switched,
  withAllow,
  withForce,
  withOutput,
  withPolicy,
  withRoot,
} from './options.ts';
import { refuse } from './refuse.ts';
import type { StatusArguments } from './status.ts';
import type { ClusterArguments } from './status-cluster.ts';
import { readPolicyCommand } from './policy-child.ts';
import { withRun } from './run-options.ts';

/** Runs one command line (without the names of node and script) to its exit code. Never throws. */
export async function runProgram(argv: readonly string[], context: CliContext): Promise<ExitCode> {
  const run: Run = { exitCode: exitCodes.internal, command: undefined };
  const program = buildProgram(context, run);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return run.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return codeOfCommander(error);
    const output = run.command?.opts<{ output?: Output }>().output ?? 'text';
    const command = jsonCommand(run.command?.name() ?? '');
    // What has no JSON shape speaks in plain text, whatever was asked for.
    return refuse(context, command ?? 'plan', command === undefined ? 'text' : output, [problemOf(error)]);
  }
}

/** What an action leaves behind for whoever started the program. */
interface Run {
  exitCode: ExitCode;
  command: Command | undefined;
}

/** A command's code is loaded when it is called: `--help` and `--version` need none of it. */
type Load<Options> = () => Promise<(context: CliContext, options: Options) => Promise<ExitCode>>;

type LoadNamed<Options> = () => Promise<
  (context: CliContext, names: readonly string[], options: Options) => Promise<ExitCode>
>;

function buildProgram(context: CliContext, run: Run): Command {
  const program = new Command('kubelet-sysctl-agent')
    .description('Allows unsafe sysctls on kubelets, and never leaves a node worse than it was.')
    .version(context.agentVersion, '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .showHelpAfterError('Run it with --help for all options.')
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getOutHelpWidth: () => context.stdout.columns,
      getErrHelpWidth: () => context.stderr.columns,
      getOutHasColors: () => context.stdout.colour,
      getErrHasColors: () => context.stderr.colour,
    });

  const action =
    <Options>(load: Load<Options>) =>
    async (options: Options, command: Command): Promise<void> => {
      run.command = command;
      run.exitCode = await (await load())(context, options);
    };
  const command = (name: string, description: string, example: string, codes: readonly ExitCode[]): Command =>
    program.command(name).description(description).addHelpText('after', helpTail(example, codes));

  withForce(
    withPolicy(
      withRoot(
        withOutput(
          command(
            'plan',
            'Shows what would change on this node, and why. Touches nothing.',
            planExample,
            [0, 2, 3, 64],
          ),
        ),
      ),
    ),
  ).action(action(async () => (await import('./plan.ts')).plan));

  withForce(
    withPolicy(
      withRoot(
        withOutput(
          command(
            'apply',
            'Carries the plan out, once, and waits for the verdict.',
            applyExample,
            [0, 3, 4, 5, 64],
          ),
        ),
      ),
    ),
  )
    .addOption(
      switched(
        '--slots',
        'in a pod: wait for a slot of the rollout, and select policies by the labels of the Node',
      ),
    )
    .action(action(async () => (await import('./apply.ts')).apply));

  withForce(
    withRoot(
      withOutput(
        command(
          'rollback',
          'Puts back what the last committed apply replaced, or takes an interrupted one back.',
          rollbackExample,
          [0, 3, 4, 5, 64],
        ),
      ),
    ),
  ).action(action(async () => (await import('./rollback.ts')).rollback));

  withPolicy(
    withRoot(
      withOutput(
        command(
          'status',
          'Shows layers, drift, transactions and the watchdog of this node.',
          statusExample,
          [0, 2, 3, 5, 64],
        ),
      ),
    ),
  )
    .addOption(switched('--cluster', 'every node, as its agent told the API server, instead of this one'))
    .addOption(switched('--watch', 'with --cluster: go on, and show every change'))
    .addOption(mirrored('--kubeconfig <file>', 'with --cluster: instead of $KUBECONFIG or ~/.kube/config'))
    .addOption(mirrored('--context <name>', 'with --cluster: the context in that file'))
    .addOption(
      mirrored(
        '--namespace <name>',
        "with --cluster: where the agent and its slots are; without it the pod's own, else kubelet-sysctl-agent",
      ),
    )
    .action(
      action<StatusArguments & ClusterArguments & { readonly cluster?: boolean }>(
        async () => async (context, options) =>
          options.cluster === true
            ? (await import('./status-cluster.ts')).statusCluster(context, options)
            : (await import('./status.ts')).status(context, options),
      ),
    );

  withRun(
    withPolicy(
      withRoot(
        command(
          'run',
          'Watches this node for as long as it runs, heals it, and serves metrics.',
          runExample,
          [0, 64],
        ),
      ),
    ),
  ).action(action(async () => (await import('./run.ts')).run));
  program
    .command(readPolicyCommand, { hidden: true })
    .action(action(async () => (await import('./read-policy.ts')).readPolicy));

  const named =
    <Options>(load: LoadNamed<Options>) =>
    async (names: readonly string[], options: Options, command: Command): Promise<void> => {
      run.command = command;
      run.exitCode = await (await load())(context, names, options);
    };

  withOutput(command('validate', 'Checks policy files; needs no node.', validateExample, [0, 3, 64]))
    .addArgument(several('files', 'policy files, or directories of them'))
    .addOption(
      mirrored(
        '--kubelet-version <version>',
        'judge entries as this kubelet does; without it, as all of them do',
      ),
    )
    .action(named(async () => (await import('./validate.ts')).validate));

  withRoot(
    withOutput(
      command(
        'explain',
        'Says what a pod may do with a sysctl, and what this node holds.',
        explainExample,
        [0, 64],
      ),
    ),
  )
    .addArgument(several('sysctls', 'names, such as net.core.somaxconn'))
    .addOption(mirrored('--unit <name>', 'the systemd service of the kubelet; without it kubelet.service'))
    .action(named(async () => (await import('./explain.ts')).explain));

  withAllow(
    withOutput(
      command(
        'render',
        'Writes the admission policy that grants pods what the nodes allow. Needs no node.',
        renderExample,
        [0, 3, 64],
      ),
    ),
  )
    .addOption(
      mirrored('--kind <kind>', 'vap (ValidatingAdmissionPolicy), kyverno, or psp (clusters before 1.25)')
        .choices(admissionKinds)
        .default('vap'),
    )
    .addOption(mirrored('--name <name>', 'what the objects are called').default('unsafe-sysctls'))
    .addOption(
      mirrored('--namespace <name>', 'all pods of this namespace may use them; repeatable').argParser(
        collect,
      ),
    )
    .addOption(
      mirrored('--service-account <name>', 'pods of NAMESPACE:NAME may use them; repeatable').argParser(
        collect,
      ),
    )
    .addOption(switched('--all-namespaces', 'every pod may use them'))
    .addOption(
      mirrored(
        '--kubelet-version <version>',
        'the oldest kubelet; it says what is safe (default: the newest known)',
      ),
    )
    .action(action(async () => (await import('./render.ts')).render));

  withAllow(
    withOutput(
      command(
        'audit',
        'Finds workloads that set sysctls in privileged containers. Needs no node.',
        auditExample,
        [0, 2, 3, 64],
      ),
    ),
  )
    .addArgument(several('files', 'what `kubectl get … -o json` printed; - is standard input'))
    .action(named(async () => (await import('./audit.ts')).audit));

  program
    .command('version')
    .description('Prints the version.')
    .action(() => {
      context.stdout.write(`${context.agentVersion}\n`);
      run.exitCode = exitCodes.done;
    });

  program.addHelpText('after', '\nEvery option has an environment variable: --log-level is KSA_LOG_LEVEL.');
  return program;
}

function codeOfCommander(error: CommanderError): ExitCode {
  return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
}
