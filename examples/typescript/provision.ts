// Makes a team with a budget, a project in it and a key of the project, and prints what the key may
// call. What an earlier run made is left as it is.
//
//   KEY=sk-tka_… npm run --silent provision -- research 'gpt-4o*'

import { ApiError, Client } from './client.js';
import type { EffectiveModelsQuery, LimitFragment } from './gql/graphql.js';
import { graphql } from './gql/index.js';

const USAGE = `Usage: KEY=<key> npm run --silent provision -- NAME MODEL...

NAME    of the team; its external id, and the beginning of those of its project and its key
MODEL   a model that the team may call; * stands for any text

URL is http://127.0.0.1:4000/graphql by default.`;

const TeamCreate = graphql(`
  mutation TeamCreate($input: TeamCreateInput!) {
    teamCreate(input: $input) {
      team {
        id
      }
    }
  }
`);

const ProjectCreate = graphql(`
  mutation ProjectCreate($input: ProjectCreateInput!) {
    projectCreate(input: $input) {
      project {
        id
      }
    }
  }
`);

const ApiKeyCreate = graphql(`
  mutation ApiKeyCreate($input: ApiKeyCreateInput!) {
    apiKeyCreate(input: $input) {
      apiKey {
        id
      }
      secret
    }
  }
`);

const Provisioned = graphql(`
  query Provisioned($team: ID!, $project: ID!, $apiKey: ID!) {
    team(id: $team) {
      id
      budgets {
        ...Limit
      }
    }
    project(id: $project) {
      id
      budgets {
        ...Limit
      }
    }
    apiKey(id: $apiKey) {
      id
    }
  }

  fragment Limit on BudgetAssignment {
    remaining
    budget {
      maxSpend
      period
    }
  }
`);

const EffectiveModels = graphql(`
  query EffectiveModels($apiKey: ID!, $after: String) {
    apiKey(id: $apiKey) {
      effectiveModels(first: 100, after: $after) {
        nodes {
          name
          target
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
`);

/** What a mutation made; null when its external id is taken, as it is in a second run. */
async function unlessTaken<Payload>(made: Promise<Payload>): Promise<Payload | null> {
  try {
    return await made;
  } catch (error) {
    if (error instanceof ApiError && error.externalIdIsTaken) {
      return null;
    }
    throw error;
  }
}

async function provision(client: Client, name: string, models: string[]): Promise<void> {
  // External ids are taken wherever an id is asked for.
  const [team, project, apiKey] = [name, `${name}-assistant`, `${name}-assistant-key`];

  const newTeam = await unlessTaken(
    client.request(TeamCreate, {
      input: {
        name,
        externalId: team,
        modelAccess: { mode: 'LIST', models },
        budgets: [{ create: { maxSpend: '100', period: '1mo' } }],
      },
    }),
  );
  const newProject = await unlessTaken(
    client.request(ProjectCreate, {
      input: {
        name: 'Assistant',
        externalId: project,
        teamId: team,
        budgets: [{ create: { maxSpend: '40', period: '1mo' } }],
      },
    }),
  );
  const newKey = await unlessTaken(
    client.request(ApiKeyCreate, {
      input: {
        name: 'Assistant',
        externalId: apiKey,
        kind: 'SERVICE',
        // Both, so that a project of another team is refused.
        teamId: team,
        projectId: project,
      },
    }),
  );
  if (newKey?.apiKeyCreate) {
    // Before anything else can fail: no other answer has it.
    print('secret', newKey.apiKeyCreate.secret);
  }

  const now = await client.request(Provisioned, { team, project, apiKey });
  if (!now.team || !now.project || !now.apiKey) {
    throw new Error(`an external id of ${name} is taken by something that you may not see`);
  }
  print('team', now.team.id, newTeam ? '(made)' : '(was there)');
  now.team.budgets?.forEach(printLimit);
  print('project', now.project.id, newProject ? '(made)' : '(was there)');
  now.project.budgets?.forEach(printLimit);
  print('key', now.apiKey.id, newKey ? '(made)' : '(was there)');
  for await (const { name, target } of effectiveModels(client, apiKey)) {
    print('model', name === target ? name : `${name} -> ${target}`);
  }
}

/** What calls with the key may ask for, page by page: the same rules decide that judge calls. */
async function* effectiveModels(client: Client, apiKey: string) {
  let after: string | null = null;
  do {
    const answer: EffectiveModelsQuery = await client.request(EffectiveModels, { apiKey, after });
    const page = answer.apiKey?.effectiveModels;
    yield* page?.nodes ?? [];
    after = page?.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
  } while (after);
}

function printLimit({ remaining, budget }: LimitFragment): void {
  const { maxSpend, period } = budget;
  print('budget', `${maxSpend ?? 'no'} USD per ${period ?? 'lifetime'}, ${remaining ?? 'all'} left`);
}

function print(label: string, ...words: string[]): void {
  console.log(label.padEnd(8), ...words);
}

const { KEY, URL = 'http://127.0.0.1:4000/graphql' } = process.env;
const [name, ...models] = process.argv.slice(2);

if (!KEY || !name || !models.length) {
  console.error(USAGE);
  process.exitCode = 2;
} else {
  try {
    await provision(new Client(URL, KEY), name, models);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
