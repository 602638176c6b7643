import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../policy/durations.ts';
import {
  type LogLevel,
  logLevels,
  mirrored,
  type PolicyOptions,
  type RootOptions,
  switched,
} from './options.ts';

export interface RunArguments extends PolicyOptions, RootOptions {
  readonly logLevel: LogLevel;
  readonly listen: { readonly host: string | undefined; readonly port: number };
  /** Milliseconds. */
  readonly interval: number;
  readonly splay: number;
  readonly dryRun?: boolean;
  readonly tlsCertFile?: string;
  readonly tlsKeyFile?: string;
  readonly metricsAuthorization?: boolean;
  /** The kubelet's port. */
  readonly configz?: number;
  readonly configzTokenFile: string;
  readonly configzCaFile?: string;
  /** At most one pod in this time; milliseconds. */
  readonly deleteRejectedPods?: number;
}

/** Adds what `run` alone takes. */
export function withRun(command: Command): Command {
  return command
    .addOption(
      mirrored('--log-level <level>', 'log lines (JSON) on standard error')
        .choices(logLevels)
        .default('info'),
    )
    .addOption(
      mirrored('--listen <address>', 'where /metrics, /livez and /readyz are served')
        .argParser(address)
        .default({ host: undefined, port: 9877 }, ':9877'),
    )
    .addOption(
      mirrored(
        '--interval <time>',
        'how often sysctls are read, 1s to 1h; everything else is told by the kernel and systemd',
      )
        .argParser(interval)
        .default(15_000, '15s'),
    )
    .addOption(switched('--dry-run', 'watch and report; never change anything'))
    .addOption(
      mirrored('--splay <time>', 'without a cluster: wait up to this long before a kubelet is restarted')
        .argParser(duration)
        .default(0, '0s'),
    )
    .addOption(
      mirrored('--tls-cert-file <file>', 'serve TLS with this certificate; read again when it changes'),
    )
    .addOption(mirrored('--tls-key-file <file>', 'the key of that certificate'))
    .addOption(
      switched(
        '--metrics-authorization',
        'serve /metrics only to tokens that the API server lets get it; needs TLS',
      ),
    )
    .addOption(
      mirrored(
        '--configz <port>',
        "ask the kubelet's own port for its configuration, usually 10250; off without it",
      ).argParser(port),
    )
    .addOption(
      mirrored('--configz-token-file <file>', 'a token that may get nodes/configz').default(
        '/var/run/secrets/kubernetes.io/serviceaccount/token',
        "the pod's own",
      ),
    )
    .addOption(
      mirrored('--configz-ca-file <file>', "the CA of the kubelet's certificate; unchecked without it"),
    )
    .addOption(
      mirrored(
        '--delete-rejected-pods <time>',
        'delete leftovers of SysctlForbidden that a controller replaced, one in this time (1s to 1h) at most; off without it',
      ).argParser(interval),
    );
}

function address(value: string): RunArguments['listen'] {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d+)$/.exec(value);
  const host = match?.[1] ?? match?.[2] ?? '';
  if (match === null)
    throw new InvalidArgumentError('Write HOST:PORT, [IPv6]:PORT, or :PORT for every address.');
  return { host: host === '' ? undefined : host, port: port(match[3] ?? '', 0) };
}

function port(value: string, smallest: unknown = 1): number {
  const number = Number(value);
  if (!/^\d{1,5}$/.test(value) || number > 65_535 || number < (smallest === 0 ? 0 : 1)) {
    throw new InvalidArgumentError('Write a port number.');
  }
  return number;
}

function duration(value: string): number {
  const ms = value === '0' || value === '0s' ? 0 : parseDuration(value);
  if (ms === undefined) throw new InvalidArgumentError('Write a time such as 15s or 2m.');
  return ms;
}

function interval(value: string): number {
  const ms = duration(value);
  if (ms < 1000 || ms > 3_600_000) throw new InvalidArgumentError('Write a time from 1s to 1h.');
  return ms;
}
