/** The verbs of batches. */
import type { Command } from 'commander';
import { collectCommand } from './collect-command';
import { enqueueCommand } from './enqueue-command';
import { statusCommand } from './status-command';
import { workCommand } from './work-command';

export const batchCommands = (): Command[] => [enqueueCommand(), workCommand(), statusCommand(), collectCommand()];
