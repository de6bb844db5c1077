/** The last of a non-empty list, by rising `first`, that begins at or before `at`: the part that holds number `at`. */
export function lastAt<T extends { first: number }>(parts: readonly T[], at: number): T {
  let [low, high] = [0, parts.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (parts[middle]!.first <= at) low = middle;
    else high = middle - 1;
  }
  return parts[low]!;
}
