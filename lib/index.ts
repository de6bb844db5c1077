/** The public names of clipn-native. */

export { ClipnError, type ClipnErrorCode } from './base/errors';
export {
  type Calibration,
  type EarlierCalibration,
  type FittedCalibration,
  type FittedGuard,
  type HandCalibration,
  readCalibration,
  saveCalibration,
} from './decide/calibration';
export { conformalPValues, conformalThreshold, type PValueOptions, type UnreadableImage } from './decide/conformal';
export { type Cost, type CostThreshold, costThreshold } from './decide/cost';
export {
  createDriftMonitor,
  type DriftCalibration,
  type DriftInput,
  type DriftMonitor,
  type DriftOptions,
  type DriftStanding,
  resumeDriftMonitor,
} from './decide/drift';
export type { DriftAlarm, DriftState } from './decide/drift-state';
export type { ThresholdOptions } from './decide/fit-thresholds';
export type { FittedFor as Provenance } from './decide/fitted-for';
export { type GateInput, type GateOptions, type GateResult, gate } from './decide/gate';
export type { Margins } from './decide/guard';
export type { Margin, Rank } from './decide/margin';
export type { LabelThresholds } from './decide/present';
export type { Rule, Verdict } from './decide/rule';
export {
  type ImagesNeededOptions,
  imagesNeeded,
  type SelectInput,
  type Selection,
  type SelectMethod,
  type SelectOptions,
  select,
} from './decide/select';
export { type DiagnoseOptions, type Diagnosis, diagnose } from './doctor/diagnose';
export {
  type DetectorDiagnosis,
  type DiagnoseDetectorOptions,
  diagnoseDetector,
  type Standing,
} from './doctor/diagnose-detector';
export type { FetchProgress } from './download/progress';
export { evaluate } from './evaluate/evaluate';
export type { EvalOptions, EvalProgress } from './evaluate/options';
export type { EvalResult } from './evaluate/result';
export type { DecodeOptions } from './images/decode';
export type { DrawingKind } from './images/drawings';
export type { ImageDataLike, ImageInput, RawImage, Region, SharpOutput, WholeImage } from './images/image-input';
export { overlay, type PatchMap } from './images/overlay';
export type { Quality } from './images/quality';
export type { LabelBank } from './labels/bank';
export { loadLabelBank, saveLabelBank } from './labels/bank-file';
export { type LabelProgress, removeLabels } from './labels/build-bank';
export type { FindingKind, LabelFinding } from './labels/label-finding';
export { loadLabelsFile } from './labels/labels-file';
export type { Fetched } from './libtorch/copies';
export { type FetchOptions, fetchLibtorch } from './libtorch/fetch';
export type { Interval } from './metrics/intervals';
export { wilsonInterval } from './metrics/intervals';
export type { SetMetrics } from './metrics/metrics';
export {
  averageMetrics,
  evaluateScores,
  type FprRule,
  idAccuracy,
  type MetricOptions,
  type OodMetrics,
  oodMetrics,
  setMetrics,
} from './metrics/metrics';
export { type RocCurve, rocCurve } from './metrics/roc';
export { readScoreFile, type ScoreFileOptions } from './metrics/score-file';
export { type CalibrateOptions, type CalibrationRun, calibrate, type OodPrice } from './model/calibrate';
export type { NegativesOptions } from './model/choose-words';
export {
  type CheckFailure,
  type CheckOptions,
  type CheckResult,
  Detector,
  type DetectorOptions,
  type TopEntry,
} from './model/detector';
export {
  exportTorchScript,
  type ForwardTensor,
  type TorchScriptForward,
  type TorchScriptOptions,
} from './model/export-torchscript';
export { type FitLabelThresholdsOptions, fitLabelThresholds } from './model/fit-label-thresholds';
export type { Guard } from './model/guard';
export type { ModelInfo } from './model/info';
export { type LabelLint, type LintOptions, lintLabels } from './model/lint-labels';
export { loadModel } from './model/load';
export { type LoadDetectorOptions, loadDetector } from './model/load-detector';
export { type MineNegativesOptions, mineNegatives } from './model/mine-negatives';
export { Model } from './model/model';
export type { NegativesInput } from './model/negatives';
export type { CloseOptions, EncodeOptions, LabelBankOptions, LoadModelOptions } from './model/options';
export type { BatchOptions, QueueOptions } from './model/queue-options';
export type { ModelStats, Percentiles } from './model/queue-stats';
export type { GapMap, LabelReason, Why } from './model/why';
export type { CoreInfo } from './native/addon';
export { describeCore } from './native/engine';
export type { Device, FirstPrecision, Precision } from './native/placement';
export { renderReport, reportCsv } from './report/render';
export { writeReport } from './report/write';
export { type MinedNegatives, saveNegatives } from './scores/mined-negatives';
export type { DecidingScore, Scores } from './scores/names';
export type { NegativeBank } from './scores/negatives';
export { type NegativeRows, type ScoreOptions, type ScoreResult, score } from './scores/score';
export type { ScoreBlock, Scorer } from './scores/scorers';
export {
  type TeachNegatives,
  type TeachOptions,
  type TeachProgress,
  type TeachResult,
  type TeachStep,
  teach,
} from './teach/teach';
export type { TemplatesInput } from './text/templates';
export { type ExportOptions, exportModel } from './weights/export';
export { type FetchModelOptions, fetchModel } from './weights/fetch-model';
export type { FetchedModel } from './weights/model-cache';
export type { ModelConfig } from './weights/model-config';
