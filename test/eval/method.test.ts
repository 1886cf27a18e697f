import { describe, expect, test } from 'vitest';
import { folderOf, optionsOf, parseMethods, referenceFor, single, TEACHER } from '../../lib/eval/method.js';

const names = (text: string) => parseMethods(text).map(({ name }) => name);

describe('the syntax of methods', () => {
  test.each([
    ['euler:6:guided', 'euler:6:guided'],
    ['guided:6', 'euler:6:guided'],
    ['multistep:8:interval', 'multistep:8:interval'],
    ['12', 'euler:12'],
    ['euler', 'euler:50'],
    ['heun:8:default', 'heun:8'],
    ['student=fast-6', 'student=fast-6'],
    ['student=fast:heun', 'student=fast:heun'],
    ['6:student=fast', 'student=fast:6'],
    ['8:shift=1.50:text=6:gamma=0.5', 'tcd:8:text=6:shift=1.5:gamma=0.5'],
    ['one-step', 'one-step:1'],
    ['lcm:4:interval', 'lcm:4:interval'],
  ])('%s is %s', (text, name) => {
    expect(names(text)).toEqual([name]);
    expect(names(name)).toEqual([name]);
  });

  test('commas make one method each, in the order of the fields', () => {
    expect(names('euler,heun:4,6:guided,unguided')).toEqual([
      'euler:4:guided',
      'euler:4:unguided',
      'euler:6:guided',
      'euler:6:unguided',
      'heun:4:guided',
      'heun:4:unguided',
      'heun:6:guided',
      'heun:6:unguided',
    ]);
    expect(names('6:gamma=0,1')).toEqual(['tcd:6:gamma=0', 'tcd:6:gamma=1']);
  });

  test.each([
    '',
    ':',
    'euler:',
    'rk4',
    'euler:0',
    'euler:1001',
    'euler:99999',
    'euler:-3',
    'euler:6.5',
    'euler:heun',
    'euler:6:8',
    'euler:guided:unguided',
    'gamma=2',
    'euler:gamma=0.5',
    'lcm:gamma=0.5',
    'gamma=x',
    'gamma=-0.1',
    'shift=0',
    'shift=',
    'text=NaN',
    'text=1e3',
    'student=',
    'student=../x',
    'student=a/b',
    'colour=red',
    'unguided:text=3',
    '__proto__=1',
    'constructor=1',
    Array.from({ length: 501 }, (_, i) => i + 1).join(','),
  ])('%j is refused', (text) => {
    expect(() => parseMethods(text)).toThrow(expect.objectContaining({ code: 'BAD_OPTION', operand: 'method' }));
  });

  test('folders of different methods differ', () => {
    const all = [...parseMethods('euler,heun,multistep:4,6:guided,interval,unguided:shift=1,2'), single('student=a:4')];
    expect(new Set(all.map(folderOf)).size).toBe(all.length);
    for (const folder of all.map(folderOf)) expect(folder).toMatch(/^[\w.-]+$/);
  });
});

describe('the row beside a method', () => {
  const reference = (text: string, others: string[] = [], steps = 6) =>
    referenceFor(single(text), steps, others.map(single))?.name;

  test('is the undistilled guided model by as many Euler steps', () => {
    expect(reference('heun:6:guided')).toBe('euler:6:guided');
    expect(reference('multistep:6')).toBe('euler:6');
    expect(reference('multistep:6:unguided')).toBe('euler:6');
    expect(reference('euler:6:unguided')).toBe('euler:6');
    expect(reference('student=fast')).toBe('euler:6');
    expect(reference('6:gamma=1:interval')).toBe('euler:6:interval');
  });

  test('is not added twice, nor beside itself', () => {
    expect(reference('euler:6')).toBeUndefined();
    expect(reference('euler:6:interval')).toBeUndefined();
    expect(reference('heun:6:guided', ['euler:6:guided'])).toBeUndefined();
    expect(reference('heun:6:unguided', ['euler:6:guided'])).toBeUndefined();
    expect(reference('heun:6:guided', ['euler:6:interval', 'euler:8:guided', 'euler:6:unguided'])).toBe(
      'euler:6:guided',
    );
  });
});

test('options of drawing', () => {
  expect(optionsOf(TEACHER)).toEqual({ steps: 50, solver: 'euler' });
  expect(optionsOf(single('student=fast'))).toEqual({ student: 'fast' });
  expect(optionsOf(single('tcd:4:gamma=0.25'))).toEqual({ steps: 4, solver: 'tcd', gamma: 0.25 });
  expect(optionsOf(single('6:guided'))).toEqual({ steps: 6, solver: 'euler', interval: [0, 1] });
  expect(optionsOf(single('6:interval:text=3:image=1.5:shift=2'))).toEqual({
    steps: 6,
    solver: 'euler',
    interval: [0.4, 1],
    guidance: 3,
    imageGuidance: 1.5,
    shift: 2,
  });
  expect(optionsOf(single('6:unguided'))).toEqual({ steps: 6, solver: 'euler', guidance: 1, imageGuidance: 1 });
});
