/** The public names of clipn-native. */
export { type CalibrateOptions, type CalibrationRun, calibrate, conformalThreshold } from './calibrate';
export {
  type Calibration,
  type FittedCalibration,
  type HandCalibration,
  readCalibration,
  saveCalibration,
} from './calibration';
export {
  type CheckFailure,
  type CheckOptions,
  type CheckResult,
  Detector,
  type DetectorOptions,
  type TopEntry,
} from './detector';
export { type Diagnosis, diagnose } from './doctor';
export { ClipnError, type ClipnErrorCode } from './errors';
export type { EvalResult, Interval, SetMetrics } from './eval-result';
export { type EvalOptions, type EvalProgress, evaluate } from './evaluate';
export { type ExportOptions, exportModel } from './export';
export { type FetchOptions, fetchLibtorch } from './fetch';
export type { DecodeOptions, ImageInput, RawImage } from './image';
export { type LabelBank, loadLabelBank, removeLabels, saveLabelBank } from './labels';
export { type LoadDetectorOptions, loadDetector } from './load-detector';
export {
  averageMetrics,
  evaluateScores,
  type FprRule,
  idAccuracy,
  type MetricOptions,
  type OodMetrics,
  oodMetrics,
  type RocCurve,
  rocCurve,
  setMetrics,
  wilsonInterval,
} from './metrics';
export {
  type CloseOptions,
  type EncodeOptions,
  type LabelBankOptions,
  type LoadModelOptions,
  loadModel,
  Model,
  type ModelInfo,
} from './model';
export { type CoreInfo, describeCore } from './native';
export type { Provenance } from './provenance';
export type { BatchOptions, QueueOptions } from './queue-options';
export type { ModelStats, Percentiles } from './queue-stats';
export { renderReport, reportCsv } from './report';
export { readScoreFile } from './score-file';
export type { ScoreBlock, Scorer } from './scorers';
export { type DecidingScore, type ScoreOptions, type ScoreResult, type Scores, score } from './scores';
export type { Device, Precision } from './target';
export {
  type Negatives,
  type TeachOptions,
  type TeachProgress,
  type TeachResult,
  type TeachStep,
  teach,
} from './teach';
export type { Rule, Verdict } from './verdict';
export { writeReport } from './write-report';
