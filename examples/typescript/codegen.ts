// What GraphQL Code Generator makes of the schema and of the operations in this folder: gql/.

import type { CodegenConfig } from '@graphql-codegen/cli';

const config: CodegenConfig = {
  schema: '../../schema.graphql',
  documents: 'provision.ts',
  importExtension: '.js',
  generates: {
    './gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        // Operations are texts, so no GraphQL library is loaded when the program runs.
        documentMode: 'string',
        enumType: 'string-literal',
        useTypeImports: true,
        // A scalar without a line below stops the generator.
        strictScalars: true,
        scalars: {
          // Beyond what a number holds exactly.
          BigInt: { input: 'string | number', output: 'string' },
          Date: 'string',
          DateTime: 'string',
          Duration: 'string',
          ID: 'string',
          JSON: 'unknown',
          // Exact: calculate with a library for decimals, never with numbers.
          Usd: 'string',
        },
      },
    },
  },
};

export default config;
