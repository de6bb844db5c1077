/** JSON out of files. */

/** Far deeper than anything that is read here. */
const DEEPEST = 100;

/**
 * As `JSON.parse`, and refuses what is nested more than 100 deep: thousands deep it could not be written into a message, nor
 * compared, for what does so calls itself for each level.
 *
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  const root: unknown = JSON.parse(text);
  let level = [root].filter(isHolder);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > DEEPEST) throw new SyntaxError(`it is nested more than ${DEEPEST} deep`);
    level = level.flatMap((holder) => Object.values(holder).filter(isHolder));
  }
  return root;
}

const isHolder = (value: unknown): value is object => typeof value === 'object' && value !== null;
