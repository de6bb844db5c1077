#pragma once

#include <memory>

namespace clipn {

/// Memory that tensors gave back and later ones take, for the kernel clears fresh pages and that took a third of a
/// training step (bench/README.md). Freed when it and all those tensors are gone.
class KeptMemory {
 public:
  struct Chunks;

  /// While one lives, tensors of 256 KB and more that this thread makes on the CPU take such memory. They may outlive
  /// it, and the KeptMemory. Not nested.
  class Use {
   public:
    explicit Use(const KeptMemory& memory);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
  };

  KeptMemory();

 private:
  std::shared_ptr<Chunks> chunks_;
};

}  // namespace clipn
