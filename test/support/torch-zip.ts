/** The pieces of checkpoints, for tests that put them together wrongly. */
export { pickle, StoredZip } from '../../lib/formats/torch-writer';
