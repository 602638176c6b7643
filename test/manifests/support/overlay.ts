import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { manifests } from './documents.ts';

interface Teardown {
  teardown(dispose: () => void): unknown;
}

/** An overlay as an admin writes it: one of ours, and a component. Its path, as `render` takes it. */
export function withComponent(t: Teardown, overlay: string, component: string): string {
  const home = mkdtempSync(path.join(tmpdir(), 'overlay-'));
  t.teardown(() => {
    rmSync(home, { recursive: true, force: true });
  });
  cpSync(manifests, path.join(home, 'manifests'), { recursive: true });
  const own = path.join(home, 'manifests/overlays/own');
  mkdirSync(own);
  writeFileSync(
    path.join(own, 'kustomization.yaml'),
    `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../${overlay}]
components: [../../components/${component}]
`,
  );
  return path.relative(manifests, own);
}
