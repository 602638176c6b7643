import type { HostFiles } from '../host/files.ts';
import { certificateEnd, probeSocket, swapsInUse } from '../host/start-conditions.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readFlag } from '../kubelet/flag.ts';
import type { ObservedFile } from '../plan/observed.ts';
import type { StartConditions } from '../plan/start-conditions.ts';

const socketDeadlineMs = 1_000;
const usualCertificateDirectory = '/var/lib/kubelet/pki';

/** Looks at what this kubelet would need if it were started now. `args` are its arguments after `$` expansion. */
export async function observeStartConditions(
  files: HostFiles,
  args: readonly string[],
  config: { readonly main: ObservedFile | undefined; readonly dropIns: readonly ObservedFile[] },
): Promise<StartConditions> {
  const reading = readKubeletConfig(config.main, config.dropIns);
  const failSwapOn = readFlag(args, 'fail-swap-on') !== 'false' && (!reading.ok || reading.facts.failSwapOn);
  const inFile = reading.ok ? reading.facts.containerRuntimeEndpoint : undefined;
  const missing: { flag: string; path: string }[] = [];
  for (const flag of ['config', 'config-dir']) {
    const path = readFlag(args, flag);
    if (path?.startsWith('/') === true && (await isGone(files, path))) missing.push({ flag, path });
  }
  const kubeconfigs = [readFlag(args, 'kubeconfig'), readFlag(args, 'bootstrap-kubeconfig')].filter(
    (path): path is string => path?.startsWith('/') === true,
  );
  const gone = await Promise.all(kubeconfigs.map(async (path) => isGone(files, path)));
  const bootstrap = readFlag(args, 'bootstrap-kubeconfig');
  const certificatePath = `${readFlag(args, 'cert-dir') ?? usualCertificateDirectory}/kubelet-client-current.pem`;
  const notAfterMs = await certificateEnd(files.root, certificatePath);
  const endpoint = (readFlag(args, 'container-runtime-endpoint') ?? inFile)?.replace(/^unix:\/\//, '');
  return {
    missing,
    // Only of a kubelet that is known to have joined a cluster: it keeps a client certificate.
    noKubeconfig: notAfterMs === undefined || gone.includes(false) ? [] : kubeconfigs,
    swaps: failSwapOn ? await swapsInUse() : [],
    runtime:
      endpoint?.startsWith('/') === true
        ? { path: endpoint, state: await probeSocket(files.root, endpoint, socketDeadlineMs) }
        : undefined,
    clientCertificate:
      notAfterMs === undefined
        ? undefined
        : {
            path: certificatePath,
            notAfterMs,
            canBootstrap: bootstrap !== undefined && (await files.exists(bootstrap)),
          },
  };
}

/** Not there, though its directory is: where the directory is missing as well, we may not be seeing the whole host. */
async function isGone(files: HostFiles, path: string): Promise<boolean> {
  return !(await files.exists(path)) && (await files.exists(path.slice(0, path.lastIndexOf('/')) || '/'));
}
