/** Answers as the lines of JSON hold them: of an error its code and message. */
import type { ClipnError } from '../base/errors';

interface Failure {
  image?: string | undefined;
  error: ClipnError;
}

export function plainAnswer(answer: object | Failure): object {
  if (!('error' in answer)) return answer;
  const { code, message } = answer.error;
  return { image: answer.image, error: { code, message } };
}
