/** Which public name stands on which page of docs/api/: by what people do, the most wanted first. Every name has a place. */

export const PAGES = [
  {
    file: 'models.md',
    title: 'Models',
    about:
      'Loading a model, what it is and does, closing it; getting one from the Hugging Face hub or out of a checkpoint.',
    guides: ['models.md', 'throughput.md', 'precision.md', 'model-file.md'],
    names: [
      ...['loadModel', 'LoadModelOptions', 'BatchOptions', 'QueueOptions', 'Device', 'Precision', 'FirstPrecision'],
      ...['Model', 'ModelInfo', 'ModelConfig', 'ModelStats', 'Percentiles', 'EncodeOptions', 'CloseOptions'],
      ...['fetchModel', 'FetchModelOptions', 'FetchedModel', 'exportModel', 'ExportOptions'],
      ...['exportTorchScript', 'TorchScriptOptions', 'TorchScriptForward', 'ForwardTensor'],
    ],
  },
  {
    file: 'detectors.md',
    title: 'Detectors and their answers',
    about: 'Asking whether an image belongs to one of the classes, and why.',
    guides: ['scores.md', 'reasons.md'],
    names: [
      ...['loadDetector', 'LoadDetectorOptions', 'Detector', 'DetectorOptions', 'CheckOptions', 'CheckResult'],
      ...['CheckFailure', 'Verdict', 'Rule', 'Scores', 'DecidingScore', 'TopEntry', 'Quality', 'Guard', 'Margins'],
      ...['Why', 'LabelReason', 'Margin', 'Rank', 'GapMap', 'PatchMap', 'overlay'],
      ...['fitLabelThresholds', 'FitLabelThresholdsOptions', 'LabelThresholds'],
    ],
  },
  {
    file: 'images.md',
    title: 'Images',
    about: 'Everything that is taken for an image, and how it is decoded.',
    guides: ['pixels.md'],
    names: ['ImageInput', 'WholeImage', 'Region', 'RawImage', 'SharpOutput', 'ImageDataLike', 'DecodeOptions'],
  },
  {
    file: 'labels.md',
    title: 'Labels and negative words',
    about: 'Label banks, what is amiss with labels, and words that are none of the classes.',
    guides: ['label-lint.md', 'scores.md'],
    names: [
      ...[
        'LabelBank',
        'LabelBankOptions',
        'TemplatesInput',
        'LabelProgress',
        'loadLabelBank',
        'saveLabelBank',
        'removeLabels',
        'loadLabelsFile',
      ],
      ...['lintLabels', 'LintOptions', 'LabelLint', 'LabelFinding', 'FindingKind'],
      ...['diagnoseDetector', 'DiagnoseDetectorOptions', 'DetectorDiagnosis', 'Standing', 'DrawingKind'],
      ...['NegativesInput', 'NegativesOptions', 'NegativeBank'],
      ...['mineNegatives', 'MineNegativesOptions', 'MinedNegatives', 'saveNegatives'],
    ],
  },
  {
    file: 'calibration.md',
    title: 'Calibration and decisions',
    about: 'Thresholds that keep a promise; deciding on a batch of images.',
    guides: ['calibration.md', 'gate.md'],
    names: [
      ...['calibrate', 'CalibrateOptions', 'ThresholdOptions', 'CalibrationRun', 'UnreadableImage', 'OodPrice'],
      ...['readCalibration', 'saveCalibration', 'Calibration', 'FittedCalibration', 'EarlierCalibration'],
      ...['HandCalibration', 'FittedGuard', 'Provenance'],
      ...['gate', 'GateInput', 'GateOptions', 'GateResult'],
      ...['select', 'SelectInput', 'SelectOptions', 'SelectMethod', 'Selection', 'imagesNeeded', 'ImagesNeededOptions'],
      ...['conformalThreshold', 'conformalPValues', 'PValueOptions', 'costThreshold', 'Cost', 'CostThreshold'],
    ],
  },
  {
    file: 'drift.md',
    title: 'Drift',
    about: 'Noticing that the images no longer look like those of the calibration.',
    guides: ['drift.md'],
    names: [
      ...['createDriftMonitor', 'resumeDriftMonitor', 'DriftOptions', 'DriftCalibration', 'DriftMonitor', 'DriftInput'],
      ...['DriftAlarm', 'DriftStanding', 'DriftState'],
    ],
  },
  {
    file: 'evaluation.md',
    title: 'Evaluation',
    about: 'Folders of images to figures and a report; scores of your own.',
    guides: ['evaluation.md', 'report.md'],
    names: [
      ...['evaluate', 'EvalOptions', 'EvalProgress', 'EvalResult', 'writeReport', 'renderReport', 'reportCsv'],
      ...['Scorer', 'ScoreBlock', 'score', 'ScoreOptions', 'ScoreResult', 'NegativeRows'],
    ],
  },
  {
    file: 'metrics.md',
    title: 'Metrics',
    about: 'AUROC, AUPR and both FPR95 of any scores, with intervals. They need no model.',
    guides: ['metrics.md'],
    names: [
      ...['oodMetrics', 'setMetrics', 'evaluateScores', 'averageMetrics', 'MetricOptions', 'FprRule', 'OodMetrics'],
      ...['SetMetrics', 'Interval', 'rocCurve', 'RocCurve', 'idAccuracy', 'wilsonInterval', 'readScoreFile'],
      'ScoreFileOptions',
    ],
  },
  {
    file: 'teach.md',
    title: 'Teaching a no tower',
    about: 'Training on images with captions.',
    guides: ['teach.md'],
    names: ['teach', 'TeachOptions', 'TeachNegatives', 'TeachProgress', 'TeachStep', 'TeachResult'],
  },
  {
    file: 'machine.md',
    title: 'libtorch, this computer, errors',
    about: 'Fetching libtorch, what is there and what is missing, and the one class of errors.',
    guides: ['libtorch.md', 'errors.md'],
    names: [
      ...['ClipnError', 'ClipnErrorCode', 'fetchLibtorch', 'FetchOptions', 'FetchProgress', 'Fetched'],
      ...['diagnose', 'DiagnoseOptions', 'Diagnosis'],
      ...['describeCore', 'CoreInfo'],
    ],
  },
];
