/** The public names of clipn-native. */

export { ClipnError, type ClipnErrorCode } from './base/errors';
export {
  type Calibration,
  type FittedCalibration,
  type HandCalibration,
  readCalibration,
  saveCalibration,
} from './decide/calibration';
export type { Provenance } from './decide/fitted-for';
export type { Rule, Verdict } from './decide/rule';
export { type Diagnosis, diagnose } from './doctor/diagnose';
export { type EvalOptions, type EvalProgress, evaluate } from './evaluate/evaluate';
export type { EvalResult, Interval, SetMetrics } from './evaluate/result';
export type { DecodeOptions, ImageInput, RawImage } from './images/decode';
export { type LabelBank, loadLabelBank, removeLabels, saveLabelBank } from './labels/build-bank';
export { type FetchOptions, fetchLibtorch } from './libtorch/fetch';
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
} from './metrics/metrics';
export { readScoreFile } from './metrics/score-file';
export { type CalibrateOptions, type CalibrationRun, calibrate, conformalThreshold } from './model/calibrate';
export {
  type CheckFailure,
  type CheckOptions,
  type CheckResult,
  Detector,
  type DetectorOptions,
  type TopEntry,
} from './model/detector';
export { type LoadDetectorOptions, loadDetector } from './model/load-detector';
export {
  type CloseOptions,
  type EncodeOptions,
  type LabelBankOptions,
  type LoadModelOptions,
  loadModel,
  Model,
  type ModelInfo,
} from './model/model';
export type { BatchOptions, QueueOptions } from './model/queue-options';
export type { ModelStats, Percentiles } from './model/queue-stats';
export { type CoreInfo, describeCore } from './native/engine';
export type { Device, Precision } from './native/target';
export { renderReport, reportCsv } from './report/render';
export { writeReport } from './report/write';
export { type DecidingScore, type ScoreOptions, type ScoreResult, type Scores, score } from './scores/score';
export type { ScoreBlock, Scorer } from './scores/scorers';
export {
  type Negatives,
  type TeachOptions,
  type TeachProgress,
  type TeachResult,
  type TeachStep,
  teach,
} from './teach/teach';
export { type ExportOptions, exportModel } from './weights/export';
