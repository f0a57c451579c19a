// A list of teams that grows while the user scrolls, with a search field above it.

import { graphql } from 'relay-runtime';

export const teamListQuery = graphql`
  query TeamListQuery($search: String) {
    ...TeamList_query @arguments(search: $search)
    viewer {
      kind
      permissions
    }
  }
`;

export const teamListFragment = graphql`
  fragment TeamList_query on Query
  @argumentDefinitions(
    first: { type: "Int", defaultValue: 50 }
    after: { type: "String" }
    search: { type: "String" }
  )
  @refetchable(queryName: "TeamListPageQuery") {
    teams(
      first: $first
      after: $after
      filter: { search: $search }
      orderBy: { field: NAME, direction: ASC }
    ) @connection(key: "TeamList_query_teams", filters: ["filter"]) {
      totalCount
      edges {
        node {
          id
          ...TeamRow_team
        }
      }
    }
  }
`;

export const teamRowFragment = graphql`
  fragment TeamRow_team on Team {
    name
    isBlocked
    organization {
      name
    }
    budgets {
      remaining
      resetsAt
      budget {
        maxSpend
        period
      }
    }
    mayUpdate: viewerCan(permission: TEAM_UPDATE)
  }
`;

// The new team appears in the list, without asking for the list again.
export const teamCreateMutation = graphql`
  mutation TeamListCreateMutation($input: TeamCreateInput!, $connections: [ID!]!) {
    teamCreate(input: $input) {
      team @prependNode(connections: $connections, edgeTypeName: "TeamEdge") {
        id
        ...TeamRow_team
      }
    }
  }
`;

export const teamDeleteMutation = graphql`
  mutation TeamListDeleteMutation($input: TeamDeleteInput!, $connections: [ID!]!) {
    teamDelete(input: $input) {
      deletedIds @deleteEdge(connections: $connections)
    }
  }
`;
