/** The admission controllers that a grant can be written for. On its own, so that the command line's help loads no more. */
export const admissionKinds = ['vap', 'kyverno', 'psp'] as const;
export type AdmissionKind = (typeof admissionKinds)[number];
