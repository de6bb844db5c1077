/**
 * A reader of protocol buffers' text format that takes nothing on trust: every field, enum name and type is looked up in a
 * schema. Written without a look at the writer in serve/.
 */
import assert from 'node:assert/strict';
import protobuf from 'protobufjs';

const TOKEN = /\s+|#.*|([A-Za-z_][A-Za-z0-9_]*)|(-?\d+)(?![\w.])|"((?:[^"\\\n]|\\.)*)"|([{}[\]:,])/y;

type Token = { name: string } | { number: bigint } | { text: string } | { mark: string };

function tokens(source: string): Token[] {
  const out: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(source);
    assert.ok(match, `no text format at ${JSON.stringify(source.slice(at, at + 40))}`);
    const [, name, number, text, mark] = match;
    if (name !== undefined) out.push({ name });
    if (number !== undefined) out.push({ number: BigInt(number) });
    if (text !== undefined) out.push({ text: unescaped(text) });
    if (mark !== undefined) out.push({ mark });
  }
  return out;
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{1,3}|.)/gs, (_, of: string) => {
    if (/^[0-7]/.test(of)) return String.fromCodePoint(Number.parseInt(of, 8));
    const known: Record<string, string> = { n: '\n', t: '\t', r: '\r', '"': '"', '\\': '\\', "'": "'" };
    assert.ok(of in known, `\\${of} is no escape`);
    return known[of]!;
  });
}

const RANGES: Record<string, readonly [bigint, bigint]> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

class Reader {
  private at = 0;
  constructor(private readonly list: readonly Token[]) {}

  private peek(mark: string): boolean {
    const token = this.list[this.at];
    return token !== undefined && 'mark' in token && token.mark === mark;
  }

  private take(mark: string): boolean {
    if (!this.peek(mark)) return false;
    this.at++;
    return true;
  }

  get done(): boolean {
    return this.at === this.list.length;
  }

  /** Fields up to `}` or the end. */
  message(type: protobuf.Type): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    while (!this.done && !this.peek('}')) {
      const token = this.list[this.at++];
      assert.ok(token && 'name' in token, `${type.name}: a field's name, not ${JSON.stringify(token)}`);
      const field = type.fields[token.name];
      assert.ok(field, `${type.name} has no field ${token.name}`);
      this.field(type, field.resolve(), out);
    }
    return out;
  }

  private field(type: protobuf.Type, field: protobuf.Field, out: Record<string, unknown>): void {
    const where = `${type.name}.${field.name}`;
    const colon = this.take(':');
    if (field instanceof protobuf.MapField) {
      const entry = this.mapEntry(field, where);
      out[field.name] ??= {};
      const map = out[field.name] as Record<string, unknown>;
      assert.ok(!(entry.key in map), `${where}: ${entry.key} twice`);
      map[entry.key] = entry.value;
      return;
    }
    const isMessage = field.resolvedType instanceof protobuf.Type;
    assert.ok(colon || isMessage, `${where}: a colon`);
    if (field.repeated) {
      out[field.name] ??= [];
      const list = out[field.name] as unknown[];
      if (!this.take('[')) {
        list.push(this.value(field, where));
        return;
      }
      while (!this.take(']')) {
        list.push(this.value(field, where));
        assert.ok(this.take(',') || this.peek(']'), `${where}: a comma`);
      }
      return;
    }
    assert.ok(!(field.name in out), `${where} twice`);
    const rivals = field.partOf?.oneof.filter((name) => name !== field.name && name in out) ?? [];
    assert.deepEqual(rivals, [], `${where}: one of its kind is there already`);
    out[field.name] = this.value(field, where);
  }

  private mapEntry(field: protobuf.MapField, where: string): { key: string; value: unknown } {
    assert.ok(this.take('{'), `${where}: an entry`);
    const entry = new protobuf.Type('Entry')
      .add(new protobuf.Field('key', 1, field.keyType))
      .add(new protobuf.Field('value', 2, field.type));
    entry.fields['value']!.resolvedType = field.resolvedType;
    entry.fields['value']!.resolved = true;
    const { key, value } = this.message(entry);
    assert.ok(this.take('}'), `${where}: }`);
    assert.equal(typeof key, 'string', `${where}: a key`);
    return { key: key as string, value };
  }

  private value(field: protobuf.Field, where: string): unknown {
    const { resolvedType: of, type } = field;
    if (of instanceof protobuf.Type) {
      assert.ok(this.take('{'), `${where}: {`);
      const message = this.message(of);
      assert.ok(this.take('}'), `${where}: }`);
      return message;
    }
    const token = this.list[this.at++];
    assert.ok(token, `${where}: a value`);
    if (of instanceof protobuf.Enum) {
      assert.ok('name' in token && token.name in of.values, `${where}: ${of.name} has no ${JSON.stringify(token)}`);
      return token.name;
    }
    if (type === 'string') {
      assert.ok('text' in token, `${where}: a string`);
      return token.text;
    }
    if (type === 'bool') {
      assert.ok('name' in token && /^(true|false)$/.test(token.name), `${where}: true or false`);
      return token.name === 'true';
    }
    const range = RANGES[type];
    assert.ok(range, `${where} is a ${type}, which this reader does not know`);
    assert.ok('number' in token && token.number >= range[0] && token.number <= range[1], `${where}: ${type}`);
    return Number(token.number);
  }
}

/** The message as plain data: enums by name, maps as objects. @throws AssertionError for what is not of the schema */
export function readTextproto(source: string, schema: string, message: string): Record<string, unknown> {
  const type = protobuf.parse(schema, { keepCase: true }).root.resolveAll().lookupType(message);
  const reader = new Reader(tokens(source));
  const out = reader.message(type);
  assert.ok(reader.done, 'a } too much');
  assert.equal(type.verify(type.fromObject(out)), null);
  return out;
}
