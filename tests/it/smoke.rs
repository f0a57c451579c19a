//! x
use crate::harness::on_each_database;
use crate::harness::world::World;

#[tokio::test]
async fn a_world_can_be_made() {
    on_each_database(async |app| {
        let world = World::new(app).await;
        let data = world.person("member").data("{ teams { nodes { name } } }").await;
        assert_eq!(data["teams"]["nodes"][0]["name"], "A1");
    })
    .await;
}
