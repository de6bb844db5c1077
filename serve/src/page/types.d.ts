/** What the page knows of the server's answers; /openapi.json has all of it. */

export interface PatchMap {
  label: string;
  width: number;
  height: number;
  values: number[];
  covers: { x: number; y: number; width: number; height: number };
}

export interface Why {
  sentence: string;
  labels: { label: string; p: number; pYes?: number; share?: number }[];
  otherLabels?: number;
  map?: PatchMap;
  mapAbsent?: string;
}

export type Verdict = 'in' | 'out' | 'review';

export interface Answer {
  label: string;
  verdict: Verdict;
  scores: Record<string, number | null>;
  top: { label: string; p: number; pYes: number | null }[];
  why: Why;
}

export interface Decides {
  rule: string;
  score: string;
  threshold: number | null;
  outBelow: number | null;
}

export interface LabelList {
  id: string;
  labels: string[];
  warnings: string[];
  decides: Decides;
}

export interface ModelInfo {
  name: string;
  liveLabels: boolean;
  drift: boolean;
  limits: { maxBody: number; maxLabels: number };
}

export interface Drift {
  standing: {
    images: number;
    out: number;
    logMartingale: number;
    villeThreshold: number;
    alarms: { by: string; images: number }[];
  };
  points: { images: number; logMartingale: number }[];
}

/** A photo that was judged, or is to be. */
export interface Photo {
  name: string;
  blob: Blob;
  card: HTMLElement;
  answer?: Answer;
  failure?: { message: string; hint: string };
}
