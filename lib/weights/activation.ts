/**
 * Which activation the MLPs of a network have. Shapes do not tell it, and the wrong one gives worse features without an
 * error; so it is taken from what is known or said, and asked for where nothing is.
 */
import { ClipnError } from '../base/errors';
import { readRootText } from '../formats/torch-archive';
import type { Checkpoint } from './checkpoint';
import { type Activation, familiesWith, knownFile } from './known-weights';
import { type Network, type NetworkConfig, OPENAI_KEYS } from './network';

/** What a training of ours leaves in its checkpoints beside the weights: the key, whose value is an `Activation`. */
export const ACTIVATION_KEY = 'activation';

/** What a user says of it, by an option or a config. */
export interface Said {
  act?: Activation | undefined;
  config?: NetworkConfig | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * @param sha256 of the user's file of weights
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_AMBIGUOUS when nothing tells; ERR_CLIPN_INVALID_ARG when two things contradict
 *   each other
 */
export async function settleActivation(
  network: Network,
  checkpoint: Checkpoint,
  sha256: string,
  { act, config, signal }: Said,
): Promise<Activation> {
  const configured = config?.quickGelu === undefined ? undefined : config.quickGelu ? 'quickgelu' : 'gelu';
  if (act !== undefined && configured !== undefined && act !== configured) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `act '${act}' contradicts ${config!.path}, which asks for '${configured}'`,
    );
  }
  const said = act ?? configured;
  const fixed = fixedActivation(network, sha256) ?? (await recordedActivation(network, checkpoint, signal));
  if (said !== undefined && fixed !== undefined && said !== fixed.activation) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `these are ${fixed.what}, which need '${fixed.activation}'`, {
      hint:
        act === undefined ? `${config!.path} belongs to other weights.` : 'Leave out `act`, on the command line --act.',
    });
  }
  const settled = said ?? fixed?.activation;
  if (settled !== undefined) return settled;
  // OpenCLIP's default for a config that does not say it, and what the published CLIPN were trained with (spec 1.2).
  if (config !== undefined || network.kind === 'clipn') return 'gelu';
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_AMBIGUOUS',
    `does ${checkpoint.name} need GELU or QuickGELU? Its shapes do not tell, no config is beside it, and its hash is not a known one`,
    {
      hint: `Give \`act\` (--act): gelu (${familiesWith('gelu')}) or quickgelu (${familiesWith('quickgelu')}); or \`config\` (--config), the config of the weights.`,
    },
  );
}

/** What weights have whoever says otherwise, and what they are. */
interface Fixed {
  activation: Activation;
  what: string;
}

function fixedActivation({ origin }: Network, sha256: string): Fixed | undefined {
  const known = knownFile(sha256);
  if (known !== undefined) return { activation: known.activation, what: `the weights of ${known.name}` };
  if (origin !== 'openai') return undefined;
  return { activation: 'quickgelu', what: `OpenAI's own weights (${OPENAI_KEYS.join(', ')})` };
}

/** What a training of ours wrote; undefined for checkpoints of others. */
async function recordedActivation(
  { kind }: Network,
  checkpoint: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<Fixed | undefined> {
  if (kind !== 'clipn' || checkpoint.format !== 'torch') return undefined;
  const recorded = await readRootText(checkpoint.path, ACTIVATION_KEY, signal);
  if (recorded !== 'gelu' && recorded !== 'quickgelu') return undefined;
  return { activation: recorded, what: 'weights whose training recorded their activation' };
}
