/** Protocol buffers' text format, of plain data: the form of Triton's config.pbtxt. */

/** A name of an enum: written without quotes. */
export class EnumName {
  constructor(readonly name: string) {}
}

type Scalar = string | number | boolean | EnumName;
export type Field = Scalar | Message;
export interface Message {
  readonly [field: string]: Field | readonly Field[];
}

const INDENT = '  ';

/** One field a line, messages indented. A list is a field that repeats. */
export function textproto(message: Message, indent = ''): string {
  return Object.entries(message)
    .map(([name, value]) => {
      const values: readonly Field[] = isList(value) ? value : [value];
      const messages = values.filter(isMessage);
      if (messages.length > 0) return messages.map((each) => block(name, each, indent)).join('');
      const scalars = values.filter((each): each is Scalar => !isMessage(each)).map(scalar);
      return `${indent}${name}: ${isList(value) ? `[${scalars.join(', ')}]` : scalars[0]}\n`;
    })
    .join('');
}

const isList = (value: Field | readonly Field[]): value is readonly Field[] => Array.isArray(value);
const isMessage = (value: Field): value is Message => typeof value === 'object' && !(value instanceof EnumName);

function block(name: string, message: Message, indent: string): string {
  return `${indent}${name} {\n${textproto(message, indent + INDENT)}${indent}}\n`;
}

function scalar(value: Scalar): string {
  if (typeof value === 'string') return quoted(value);
  return value instanceof EnumName ? value.name : String(value);
}

/** As the format has it: UTF-8 stands as it is; quotes, backslashes and control characters are escaped. */
function quoted(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replace(/\p{Cc}/gu, (character) => {
    const octal = character.codePointAt(0)!.toString(8).padStart(3, '0');
    return `\\${octal}`;
  });
  return `"${escaped}"`;
}
