// Pillow 12.3.0; written by test/reference/make_resize_golden.py, which also explains the cases.
// clang-format off
#pragma once
#include <cstdint>
#include <vector>

struct ResizeGolden {
  uint32_t width, height, channels, side;
  uint64_t fnv1a;
  std::vector<uint8_t> bytes;  // empty when only the hash is stored
};

inline const std::vector<ResizeGolden> kResizeGolden = {
    {640, 480, 3, 224, 0x6cde2bc527959af6u, {}},
    {480, 640, 3, 224, 0xf726a8cf5003b4a0u, {}},
    {333, 500, 3, 224, 0x90698cb7767958d1u, {}},
    {227, 224, 3, 224, 0x8cf9c5fbe18f8dd5u, {}},
    {225, 224, 4, 224, 0x3bf4a985b62da565u, {}},
    {224, 224, 1, 224, 0x17fb23eadbeaaf45u, {}},
    {32, 32, 3, 224, 0xbee6cb20e8ea7430u, {}},
    {1, 1, 3, 224, 0x0d5901cd2c8bef25u, {}},
    {1, 7, 3, 224, 0x4c1b7095206fc3e5u, {}},
    {50, 1, 1, 224, 0xdd58b017e792a325u, {}},
    {301, 200, 1, 64, 0xa9f2199d18c15304u, {}},
    {301, 200, 4, 64, 0xd3e6e6732cfe7a06u, {}},
    {1000, 30, 3, 8, 0xfb3f2267850d0a91u, {}},
    {65500, 1, 3, 7, 0xe3c6f52c5c430171u, {}},
    {1, 65500, 3, 7, 0xe0bf74b41ceea219u, {}},
    {226, 22700, 3, 224, 0x84d54c54c9e05516u, {}},
    {22700, 226, 3, 224, 0xa167192ff33b6b9fu, {}},
    {3, 700, 3, 2, 0xcfa48f99afa41d67u, {133, 148, 97, 76, 92, 108, 134, 107, 126, 154, 128, 139}},
    {9, 5, 3, 3, 0xdf261cad4317e9f2u, {8, 20, 32, 27, 39, 52, 57, 70, 84, 13, 26, 38, 34, 47, 60, 66, 80, 93, 24, 36, 48, 47, 59, 72, 80, 94, 107}},
    {2, 3, 4, 4, 0x17db71a0e984bff5u, {0, 11, 22, 0, 11, 23, 1, 13, 24, 1, 13, 25, 0, 12, 23, 1, 12, 24, 2, 14, 25, 2, 14, 26, 1, 13, 24, 2, 13, 25, 3, 15, 26, 4, 15, 27, 2, 14, 25, 3, 14, 26, 4, 16, 27, 5, 17, 28}},
};
