/** The libtorch versions that this release is built and tested with. */

/** Versions that cores are built and tested with, the preferred first. What a new one takes: CONTRIBUTING.md. */
export const LIBTORCH_VERSIONS = ['2.13.0', '2.14.1'] as const;
export const LIBTORCH_VERSION = LIBTORCH_VERSIONS[0];

/** SHA-256 of published files, measured by us. For others pip checks what the index says, and `sha256` is there. */
export const MEASURED_SHA256: Record<string, string> = {
  'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl':
    '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
};

/** The libtorch with CUDA that this release's plugin is built against. */
export const CUDA_LIBTORCH_VERSION = '2.14.1';
export const CUDA_VARIANT = 'cu130';
