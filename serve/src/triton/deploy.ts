/** Where Triton may run the repository: a compose file and a KServe manifest. Neither has been run by this project. */

/** Of Triton: the last that the PyTorch backend's documentation names. KServe's own default may be years older. */
const RELEASE = '26.05-py3';

const NOT_RUN = '# Written by clipn-native-serve from the documentation of what reads it; not run by that project.\n';

export interface Deployment {
  name: string;
  device: 'cpu' | 'gpu';
}

/** TF32 rounds the inputs of fp32 products to 10 bits; libtorch's convolutions use it on a GPU unless told otherwise. */
const FULL_FP32 = 'NVIDIA_TF32_OVERRIDE';

/** docker-compose.yml: serves the folder that it lies in, on this computer alone. */
export function composeFile({ device }: Deployment): string {
  const gpu = `    environment:
      ${FULL_FP32}: "0" # fp32 products in full fp32
    deploy:
      resources:
        reservations:
          devices:
            - { driver: nvidia, count: all, capabilities: [gpu] }
`;
  return `${NOT_RUN}services:
  triton:
    image: nvcr.io/nvidia/tritonserver:${RELEASE}
    command: tritonserver --model-repository=/models
    volumes:
      - .:/models:ro
    ports:
      - 127.0.0.1:8000:8000 # HTTP
      - 127.0.0.1:8001:8001 # gRPC
      - 127.0.0.1:8002:8002 # metrics
    shm_size: 1gb
    healthcheck:
      test: [CMD, curl, --fail, --silent, http://localhost:8000/v2/health/ready]
      interval: 10s
${device === 'gpu' ? gpu : ''}`;
}

/** inference-service.yaml: KServe's Triton runtime on a copy of the repository in the cluster's storage. */
export function inferenceService({ name, device }: Deployment): string {
  const gpu = `      env:
        - { name: ${FULL_FP32}, value: "0" } # fp32 products in full fp32
`;
  return `${NOT_RUN}# storageUri: where you put this folder; what lies beside the model's folder is not read.
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: ${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}
spec:
  predictor:
    model:
      modelFormat:
        name: triton
      runtimeVersion: ${RELEASE}
      protocolVersion: v2
      storageUri: pvc://YOUR-CLAIM/repository
${device === 'gpu' ? gpu : ''}      resources:
        requests: { cpu: "2", memory: 4Gi }
        limits: { cpu: "4", memory: 8Gi${device === 'gpu' ? ', nvidia.com/gpu: "1"' : ''} }
`;
}
