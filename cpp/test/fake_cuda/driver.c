/* A libcuda.so.1 for tests: CLIPN_FAKE_GPU="VERSION,COUNT,CAPABILITY" says what it tells, e.g. "13000,1,90"; without it
 * cuInit finds no device. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct gpu {
  int version, count, capability;
};

static struct gpu told(void) {
  struct gpu gpu = {0, 0, 0};
  const char* text = getenv("CLIPN_FAKE_GPU");
  if (text != NULL) sscanf(text, "%d,%d,%d", &gpu.version, &gpu.count, &gpu.capability);
  return gpu;
}

EXPORT int cuInit(unsigned flags) {
  (void)flags;
  const struct gpu gpu = told();
  return gpu.version < 0 ? 999 : gpu.count > 0 ? 0 : 100;
}
EXPORT int cuDriverGetVersion(int* version) {
  *version = told().version;
  return 0;
}
EXPORT int cuDeviceGetCount(int* count) {
  *count = told().count;
  return 0;
}
EXPORT int cuDeviceGet(int* device, int number) {
  *device = number;
  return 0;
}
EXPORT int cuDeviceGetName(char* name, int size, int device) {
  (void)device;
  snprintf(name, (size_t)size, "Fake GPU");
  return 0;
}
EXPORT int cuDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? told().capability / 10 : told().capability % 10;
  return 0;
}
EXPORT int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  *bytes = (size_t)8 << 30;
  return 0;
}
