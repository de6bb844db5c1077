import * as library from 'clipn-native';
import { expect, test } from 'vitest';
import addTests from './runner-tests.cjs';

addTests(library, { test, expect });
