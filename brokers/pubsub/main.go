// Google's own fake of Pub/Sub, with what it leaves out: delivery attempts, dead letters and exactly-once delivery.
//
// Usage: main ADDRESS TOPIC/SUBSCRIPTION[?dead=TOPIC&attempts=N][?once=1] ...
package main

import (
	"context"
	"log"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"sync"

	"cloud.google.com/go/pubsub/pstest"
	pb "google.golang.org/genproto/googleapis/pubsub/v1"
	"google.golang.org/grpc"
)

// A StreamingPullResponse says by this that delivery is exactly once. Its Go type is older than the field.
var exactlyOnce = []byte{4<<3 | 2, 2, 1<<3 | 0, 1}

type subscription struct {
	dead     string
	attempts int
	once     bool
	counts   map[string]int // of deliveries, by message
}

type fake struct {
	*pstest.GServer
	mu            sync.Mutex
	subscriptions map[string]*subscription
}

// attempt counts a delivery, and says whether there has been one too many.
func (f *fake) attempt(to *subscription, message *pb.ReceivedMessage) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := message.Message.MessageId
	to.counts[id]++
	message.DeliveryAttempt = int32(to.counts[id])
	return to.counts[id] > to.attempts
}

type stream struct {
	grpc.ServerStream
	fake *fake
	name string
}

func (s *stream) RecvMsg(m interface{}) error {
	err := s.ServerStream.RecvMsg(m)
	if request, is := m.(*pb.StreamingPullRequest); is && request.Subscription != "" {
		s.name = request.Subscription
	}
	return err
}

func (s *stream) SendMsg(m interface{}) error {
	response, is := m.(*pb.StreamingPullResponse)
	from := s.fake.subscriptions[s.name]
	if !is || from == nil {
		return s.ServerStream.SendMsg(m)
	}
	if from.once {
		response.XXX_unrecognized = exactlyOnce
	}
	if from.dead != "" {
		var left []*pb.ReceivedMessage
		for _, message := range response.ReceivedMessages {
			if s.fake.attempt(from, message) {
				s.fake.bury(s.name, from, message)
			} else {
				left = append(left, message)
			}
		}
		if response.ReceivedMessages = left; left == nil {
			return nil
		}
	}
	return s.ServerStream.SendMsg(m)
}

// bury publishes a message as a dead letter, and takes it out of its subscription.
func (f *fake) bury(name string, from *subscription, message *pb.ReceivedMessage) {
	old := message.Message
	letter := &pb.PubsubMessage{Data: old.Data, Attributes: old.Attributes, OrderingKey: old.OrderingKey}
	_, err := f.Publish(context.Background(), &pb.PublishRequest{Topic: from.dead, Messages: []*pb.PubsubMessage{letter}})
	check(err)
	_, err = f.Acknowledge(context.Background(), &pb.AcknowledgeRequest{Subscription: name, AckIds: []string{message.AckId}})
	check(err)
}

func topic(name string) string {
	return "projects/shop/topics/" + name
}

func main() {
	f := &fake{GServer: &pstest.NewServer().GServer, subscriptions: map[string]*subscription{}}
	for _, argument := range os.Args[2:] {
		said, err := url.Parse(argument)
		check(err)
		query := said.Query()
		to := &subscription{once: query.Get("once") != "", counts: map[string]int{}}
		if dead := query.Get("dead"); dead != "" {
			to.dead = topic(dead)
			to.attempts, err = strconv.Atoi(query.Get("attempts"))
			check(err)
		}
		of, name := path.Split(said.Path)
		of, name = topic(path.Clean(of)), "projects/shop/subscriptions/"+name
		// Another subscription may have made it.
		_, _ = f.CreateTopic(context.Background(), &pb.Topic{Name: of})
		_, err = f.CreateSubscription(context.Background(), &pb.Subscription{Name: name, Topic: of, AckDeadlineSeconds: 10})
		check(err)
		f.subscriptions[name] = to
	}
	server := grpc.NewServer(grpc.StreamInterceptor(
		func(srv interface{}, calls grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(srv, &stream{ServerStream: calls, fake: f})
		}))
	pb.RegisterPublisherServer(server, f)
	pb.RegisterSubscriberServer(server, f)
	listener, err := net.Listen("tcp", os.Args[1])
	check(err)
	check(server.Serve(listener))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
