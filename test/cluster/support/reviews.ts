import { isRecord } from './patches.ts';

/** Who bears which token and may get which path: what the stand-in answers to reviews. */
export interface Reviewed {
  readonly users: Readonly<
    Record<string, { readonly username: string; readonly groups?: readonly string[] }>
  >;
  /** Paths that a user or a group may get. */
  readonly paths: Readonly<Record<string, readonly string[]>>;
}

/** The answer to a review; undefined where the path is none. */
export function reviewAnswer(path: string, body: unknown, reviewed: Reviewed): object | undefined {
  const spec = isRecord(body) && isRecord(body['spec']) ? body['spec'] : {};
  switch (path) {
    case '/apis/authentication.k8s.io/v1/tokenreviews': {
      const user = reviewed.users[String(spec['token'])];
      return { ...spec, status: user === undefined ? { user: {} } : { authenticated: true, user } };
    }
    case '/apis/authorization.k8s.io/v1/subjectaccessreviews': {
      const asked = isRecord(spec['nonResourceAttributes']) ? spec['nonResourceAttributes'] : {};
      const groups: readonly unknown[] = Array.isArray(spec['groups']) ? spec['groups'] : [];
      const allowed = [spec['user'], ...groups].some(
        (who) =>
          asked['verb'] === 'get' && reviewed.paths[String(who)]?.includes(String(asked['path'])) === true,
      );
      return { spec, status: { allowed } };
    }
    default:
      return undefined;
  }
}
