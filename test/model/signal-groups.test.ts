import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, test } from 'node:test';
import { type Heeding, SignalGroups } from '../../lib/model/signal-groups';

interface Request extends Heeding {
  name: string;
}

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

/** Groups that write down whom an abort reached, and with what reason. */
function observed() {
  const reached: [names: string[], reason: unknown][] = [];
  const groups = new SignalGroups<Request>((members, reason) => {
    reached.push([members.map(({ name }) => name), reason]);
  });
  const add = (name: string, signal: AbortSignal | undefined): Request => {
    const request = { name, signal };
    groups.add(request);
    return request;
  };
  return { groups, add, reached };
}

describe('groups by signal', () => {
  test('have one listener a signal, removed when the last member is', () => {
    const { groups, add } = observed();
    const { signal } = new AbortController();
    const { signal: other } = new AbortController();
    const members = ['a', 'b', 'c'].map((name) => add(name, signal));
    add('d', other);
    assert.deepEqual([listeners(signal), listeners(other)], [1, 1]);
    for (const member of members) {
      assert.equal(listeners(signal), 1);
      groups.delete(member);
    }
    assert.deepEqual([listeners(signal), listeners(other)], [0, 1]);
  });

  test('come anew when a signal that lost its last member gets another', () => {
    const { groups, add, reached } = observed();
    const controller = new AbortController();
    groups.delete(add('a', controller.signal));
    add('b', controller.signal);
    assert.equal(listeners(controller.signal), 1);
    controller.abort('late');
    assert.deepEqual(reached, [[['b'], 'late']]);
  });

  test('tell of an abort once, with the reason, in order, all that are left in the group and no other', () => {
    const { groups, add, reached } = observed();
    const controller = new AbortController();
    const { signal: other } = new AbortController();
    add('a', controller.signal);
    const gone = add('b', controller.signal);
    add('c', controller.signal);
    add('d', other);
    groups.delete(gone);
    controller.abort('enough');
    controller.abort('again');
    controller.signal.dispatchEvent(new Event('abort'));
    assert.deepEqual(reached, [[['a', 'c'], 'enough']]);
    assert.deepEqual([listeners(controller.signal), listeners(other)], [0, 1]);
  });

  test('a member that an abort has reached may be taken out then, and again', () => {
    const controller = new AbortController();
    const left: string[] = [];
    const groups = new SignalGroups<Request>((members) => {
      for (const member of members) {
        groups.delete(member);
        left.push(member.name);
      }
    });
    const members = ['a', 'b'].map((name) => ({ name, signal: controller.signal }));
    for (const member of members) groups.add(member);
    controller.abort();
    groups.delete(members[0]!);
    assert.deepEqual(left, ['a', 'b']);
  });

  test('leave out members without a signal', () => {
    const { groups, add, reached } = observed();
    groups.delete(add('a', undefined));
    assert.deepEqual(reached, []);
  });
});
