// The members of one team, page by page. Relay fetches a further page through `node(id:)`.

import { graphql } from 'relay-runtime';

export const teamPageQuery = graphql`
  query TeamMembersQuery($id: ID!) {
    team(id: $id) {
      name
      metadata
      ...TeamMembers_team
    }
  }
`;

export const teamMembersFragment = graphql`
  fragment TeamMembers_team on Team
  @argumentDefinitions(first: { type: "Int", defaultValue: 50 }, after: { type: "String" })
  @refetchable(queryName: "TeamMembersPageQuery") {
    members(first: $first, after: $after) @connection(key: "TeamMembers_team_members") {
      edges {
        node {
          ...TeamMembers_member
        }
      }
    }
  }
`;

export const teamMemberFragment = graphql`
  fragment TeamMembers_member on TeamMembership {
    role
    createdAt
    user {
      name
      email
      isPending
    }
    budgets {
      spent
      remaining
      budget {
        maxSpend
        requestsPerMinute
      }
    }
  }
`;

export const teamMemberAddMutation = graphql`
  mutation TeamMembersAddMutation($input: TeamMemberAddInput!, $connections: [ID!]!) {
    teamMemberAdd(input: $input) {
      memberships @appendNode(connections: $connections, edgeTypeName: "TeamMembershipEdge") {
        ...TeamMembers_member
      }
    }
  }
`;

export const teamMemberRemoveMutation = graphql`
  mutation TeamMembersRemoveMutation($input: TeamMemberRemoveInput!) {
    teamMemberRemove(input: $input) {
      deletedId @deleteRecord
    }
  }
`;
