// Sends one operation to the server: gives the data, or throws an ApiError.

import type { TypedDocumentString } from './gql/graphql.js';

const TIMEOUT_MS = 30_000;

/** One member of `errors`, as far as programs need it. */
interface Fault {
  message: string;
  extensions?: { code?: string; field?: string; requestId?: string };
}

interface Answer<Data> {
  data?: Data | null;
  errors?: Fault[];
}

/** The server refused the operation, or a part of it. */
export class ApiError extends Error {
  readonly faults: Fault[];

  constructor(faults: Fault[]) {
    super(faults.map(describe).join('\n'));
    this.name = 'ApiError';
    this.faults = faults;
  }

  /** Whether the only thing wrong is that another object has this external id. */
  get externalIdIsTaken(): boolean {
    return this.faults.every(
      ({ extensions }) =>
        extensions?.code === 'ALREADY_EXISTS' && extensions.field === 'input.externalId',
    );
  }
}

function describe({ message, extensions }: Fault): string {
  // Unknown codes, and answers that are none of ours, count as faults of the server.
  const code = extensions?.code ?? 'INTERNAL_SERVER_ERROR';
  const where = extensions?.field ? ` at ${extensions.field}` : '';
  const request = extensions?.requestId ? ` (request ${extensions.requestId})` : '';
  return `${code}${where}: ${message}${request}`;
}

export class Client {
  constructor(
    private readonly url: string,
    private readonly key: string,
  ) {}

  async request<Data, Variables>(
    operation: TypedDocumentString<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    const response = await this.post(JSON.stringify({ query: operation.toString(), variables }));
    const answer = await readAnswer<Data>(response);
    if (answer.errors?.length) {
      throw new ApiError(answer.errors);
    }
    if (!answer.data) {
      throw new Error(`${this.url} answered ${response.status} without data`);
    }
    return answer.data;
  }

  private async post(body: string): Promise<Response> {
    try {
      return await fetch(this.url, {
        method: 'POST',
        headers: {
          accept: 'application/graphql-response+json',
          authorization: `Bearer ${this.key}`,
          'content-type': 'application/json',
        },
        body,
        // The key goes to this address alone.
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new Error(`${this.url} does not answer: ${reason(error)}`, { cause: error });
    }
  }
}

async function readAnswer<Data>(response: Response): Promise<Answer<Data>> {
  const text = await response.text();
  try {
    return JSON.parse(text) as Answer<Data>;
  } catch {
    throw new Error(`${response.url} answered ${response.status}, and no JSON`);
  }
}

/** What fetch says is short; its cause has the reason. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error ? cause.message : String(cause);
}
